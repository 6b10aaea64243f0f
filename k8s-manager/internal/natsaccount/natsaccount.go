// Package natsaccount makes and removes NATS accounts, of runtimes and of their versions, with the operator's key and the
// system account's credentials, and ends what their users may do. What has to be known of an account lives in a folder that
// its owner names:
//
//	account.seed          its key
//	account.revoked.json  users that are let in no more
//
// Nothing else is remembered here. It knows nothing of the streams in an account but that they go with it.
package natsaccount

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/log"
)

// Options of Open; all but Log and Connected are required.
type Options struct {
	URL              string // broker; several addresses are separated by commas
	OperatorSeedFile string
	SystemCreds      string // file
	Log              *zap.Logger
	// Connected is called whenever the connection to the broker is there again: it may have forgotten accounts.
	Connected func()
}

// SeedFile is the file of an account's folder with its key.
const SeedFile = "account.seed"

// Accounts makes and removes accounts. Close ends it.
type Accounts struct {
	url        string
	hosts      string // of the url, for people: without passwords
	operator   nkeys.KeyPair
	operatorID string
	system     *nats.Conn

	mu    sync.Mutex
	turns map[string]*sync.Mutex // by folder: what is pushed last is what was written last
}

const (
	reconnectWait = 100 * time.Millisecond
	// answerWithin is how long the broker may take for one answer.
	answerWithin = 5 * time.Second
)

// Open reads the operator's key and begins to connect, which goes on in the background for as long as it takes.
func Open(o Options) (*Accounts, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Connected == nil {
		o.Connected = func() {}
	}
	seed, err := os.ReadFile(o.OperatorSeedFile)
	if err != nil {
		return nil, fmt.Errorf("read the NATS operator's seed: %w", err)
	}
	operator, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		return nil, fmt.Errorf("%s holds no seed of a NATS operator: %w", o.OperatorSeedFile, err)
	}
	id, err := operator.PublicKey()
	if err != nil || !nkeys.IsValidPublicOperatorKey(id) {
		return nil, fmt.Errorf("%s holds the seed of somebody else than a NATS operator", o.OperatorSeedFile)
	}
	if _, err := os.Stat(o.SystemCreds); err != nil {
		return nil, fmt.Errorf("read the credentials of the NATS system account: %w", err)
	}
	system, err := nats.Connect(o.URL, nats.Name("k8s-manager"), nats.UserCredentials(o.SystemCreds),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(0, 0), nats.IgnoreAuthErrorAbort(), nats.NoEcho(),
		nats.ConnectHandler(func(*nats.Conn) { o.Connected() }),
		nats.ReconnectHandler(func(*nats.Conn) { o.Log.Info("connected to NATS again"); o.Connected() }),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if !nc.IsClosed() {
				o.Log.Warn("disconnected from NATS", log.Error(err))
			}
		}))
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return &Accounts{
		url: o.URL, hosts: hosts(o.URL), operator: operator, operatorID: id, system: system, turns: make(map[string]*sync.Mutex),
	}, nil
}

// hosts are those of a list of URLs.
func hosts(urls string) string {
	var all []string
	for one := range strings.SplitSeq(urls, ",") {
		if u, err := url.Parse(strings.TrimSpace(one)); err == nil && u.Host != "" {
			all = append(all, u.Host)
		}
	}
	return strings.Join(all, ", ")
}

// Close ends the connection. Accounts stay.
func (a *Accounts) Close() { a.system.Close() }

// turn has one work on the account of a folder at a time, until it calls what is returned.
func (a *Accounts) turn(dir string) (over func()) {
	a.mu.Lock()
	turn := a.turns[dir]
	if turn == nil {
		turn = new(sync.Mutex)
		a.turns[dir] = turn
	}
	a.mu.Unlock()
	turn.Lock()
	return turn.Unlock
}

// Ensure makes the broker know the account of a folder, which exists. Where there is no key it is made first, for the owner's
// eyes only. name is for people who look at the broker. Doing it again is right. fault.Unavailable: the broker does not answer.
func (a *Accounts) Ensure(ctx context.Context, name, dir string) error {
	defer a.turn(dir)()
	account, err := readSeed(filepath.Join(dir, SeedFile))
	if errors.Is(err, fs.ErrNotExist) {
		account, err = makeSeed(filepath.Join(dir, SeedFile), nkeys.CreateAccount)
	}
	if err != nil {
		return err
	}
	return a.push(ctx, name, dir, account)
}

// User makes a user's key and its file, or finds the one that is there, and returns it: a seed, which is secret.
func (a *Accounts) User(file string) (string, error) {
	user, err := readSeed(file)
	if errors.Is(err, fs.ErrNotExist) {
		user, err = makeSeed(file, nkeys.CreateUser)
	}
	if err != nil {
		return "", err
	}
	seed, err := user.Seed()
	if err != nil {
		return "", fmt.Errorf("read the seed of a NATS user: %w", err)
	}
	return string(seed), nil
}

// Revoke has the user whose key is in a file, as User or a credentials file has it, let in no more at the account of a folder,
// and thrown out where it is in; then it removes the file. A file that is not there is a user who is not there. A user whose
// key lies in the account's own folder is the only one of the account that is let in at that time, this service's own aside.
// fault.Unavailable: the broker does not answer; it is told with whatever is pushed next.
func (a *Accounts) Revoke(ctx context.Context, name, dir, file string) error {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the key of a NATS user: %w", err)
	}
	defer a.turn(dir)()
	// What is no key was never written whole, and lets nobody in.
	if user, err := nkeys.ParseDecoratedUserNKey(content); err == nil {
		if err := a.revoke(ctx, name, dir, user, filepath.Dir(file) == dir); err != nil {
			return err
		}
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the key of a NATS user: %w", err)
	}
	return nil
}

func (a *Accounts) revoke(ctx context.Context, name, dir string, user nkeys.KeyPair, alone bool) error {
	account, err := readSeed(filepath.Join(dir, SeedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no account, no users
	}
	if err != nil {
		return err
	}
	id, err := user.PublicKey()
	if err != nil {
		return fmt.Errorf("read the key of a NATS user: %w", err)
	}
	if err := addRevoked(dir, id, alone, time.Now()); err != nil {
		return err
	}
	return a.push(ctx, name, dir, account)
}

// Remove removes the account of a folder, with everything that is stored in it, and then its files. A folder without a key
// has no account. fault.Unavailable: the broker does not answer.
func (a *Accounts) Remove(ctx context.Context, name, dir string) error {
	defer a.turn(dir)()
	account, err := readSeed(filepath.Join(dir, SeedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// An attempt that was interrupted may have removed it already: one who is known can look into it.
	if err := a.push(ctx, name, dir, account); err != nil {
		return err
	}
	if err := a.empty(ctx, account); err != nil {
		return err
	}
	id, err := account.PublicKey()
	if err != nil {
		return err
	}
	claims := jwt.NewGenericClaims(a.operatorID)
	claims.Data["accounts"] = []string{id}
	token, err := claims.Encode(a.operator)
	if err != nil {
		return fmt.Errorf("remove the NATS account of %s: %w", name, err)
	}
	if err := a.claim(ctx, "$SYS.REQ.CLAIMS.DELETE", token); err != nil {
		return err
	}
	for _, file := range []string{revokedFile, SeedFile} { // the key last: until then it is not done
		if err := os.Remove(filepath.Join(dir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the files of a NATS account: %w", err)
		}
	}
	return nil
}

func (a *Accounts) push(ctx context.Context, name, dir string, account nkeys.KeyPair) error {
	id, err := account.PublicKey()
	if err != nil {
		return err
	}
	claims := jwt.NewAccountClaims(id)
	claims.Name = name
	// The server takes claims that it has seen last for no news, even where it has removed the account since; within one
	// second they would be the same.
	claims.Tags.Add("made:" + strconv.FormatInt(time.Now().UnixNano(), 10))
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
		MaxAckPending: jwt.NoLimit, MemoryMaxStreamBytes: jwt.NoLimit, DiskMaxStreamBytes: jwt.NoLimit,
	}
	if claims.Revocations, err = readRevoked(dir); err != nil {
		return err
	}
	token, err := claims.Encode(a.operator)
	if err != nil {
		return fmt.Errorf("make the NATS account of %s: %w", name, err)
	}
	return a.claim(ctx, "$SYS.REQ.CLAIMS.UPDATE", token)
}

// claim sends what the operator has signed to the broker.
func (a *Accounts) claim(ctx context.Context, subject, token string) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if !a.system.IsConnected() {
		return fault.New(fault.Unavailable, "NATS (%s) cannot be reached", a.hosts)
	}
	answer, err := a.system.RequestWithContext(ctx, subject, []byte(token))
	if errors.Is(err, nats.ErrNoResponders) {
		return fault.New(fault.Unavailable, "NATS takes no accounts: it is no server in operator mode with a full resolver")
	}
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "NATS (%s) does not answer", a.hosts)
	}
	var result struct {
		Data  *struct{} `json:"data"`
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &result); err != nil {
		return fmt.Errorf("%s: answer of NATS: %w", subject, err)
	}
	if result.Error != nil {
		return fmt.Errorf("%s: NATS refuses: %s", subject, result.Error.Description)
	}
	return nil
}

// empty removes every stream of an account, those of its buckets included.
func (a *Accounts) empty(ctx context.Context, account nkeys.KeyPair) (err error) {
	nc, err := a.enter(account)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("empty a NATS account: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 4*answerWithin)
	defer cancel()
	names := js.StreamNames(ctx)
	var all []string
	for name := range names.Name() {
		all = append(all, name)
	}
	if err := names.Err(); err != nil {
		return fault.Wrap(fault.Unavailable, err, "the streams of a NATS account cannot be listed")
	}
	for _, name := range all {
		if err := js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fault.Wrap(fault.Unavailable, err, "stream %s of a NATS account cannot be removed", name)
		}
	}
	return nil
}

// enter connects as a user of an account that nobody else knows and that ends with the hour.
func (a *Accounts) enter(account nkeys.KeyPair) (*nats.Conn, error) {
	user, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("enter a NATS account: %w", err)
	}
	id, err := user.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("enter a NATS account: %w", err)
	}
	seed, err := user.Seed()
	if err != nil {
		return nil, fmt.Errorf("enter a NATS account: %w", err)
	}
	claims := jwt.NewUserClaims(id)
	claims.Name = "k8s-manager"
	claims.Expires = time.Now().Add(time.Hour).Unix()
	token, err := claims.Encode(account)
	if err != nil {
		return nil, fmt.Errorf("enter a NATS account: %w", err)
	}
	nc, err := nats.Connect(a.url, nats.Name("k8s-manager"), nats.UserJWTAndSeed(token, string(seed)), nats.Timeout(answerWithin))
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "NATS (%s) does not let us into an account", a.hosts)
	}
	return nc, nil
}

func readSeed(file string) (nkeys.KeyPair, error) {
	seed, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read a NATS key: %w", err)
	}
	key, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		return nil, fmt.Errorf("%s holds no seed of a NATS key: %w", file, err)
	}
	return key, nil
}

// makeSeed makes a key and its file.
func makeSeed(file string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	key, err := create()
	if err != nil {
		return nil, fmt.Errorf("make a NATS key: %w", err)
	}
	seed, err := key.Seed()
	if err != nil {
		return nil, fmt.Errorf("make a NATS key: %w", err)
	}
	if err := writeWhole(file, append(seed, '\n')); err != nil {
		return nil, fmt.Errorf("keep a NATS key: %w", err)
	}
	return key, nil
}

// writeWhole writes a file for the owner's eyes only, whole or not at all. What a killed one has left is written over.
func writeWhole(file string, content []byte) error {
	part := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".part")
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(content)
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = os.Rename(part, file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return nil
}
