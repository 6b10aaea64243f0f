// Package natsaccount makes and removes the NATS accounts of runtimes, with the operator's key and the system account's
// credentials. An account's key lives in a file that its owner names; nothing else is remembered here. It knows nothing
// of the streams in an account but that they go with it.
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

// Accounts makes and removes accounts. Close ends it.
type Accounts struct {
	url        string
	hosts      string // of the url, for people: without passwords
	operator   nkeys.KeyPair
	operatorID string
	system     *nats.Conn
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
	return &Accounts{url: o.URL, hosts: hosts(o.URL), operator: operator, operatorID: id, system: system}, nil
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

// Ensure makes the broker know the account called name whose seed is in a file. Where there is no such file it is made
// first, for the owner's eyes only. Doing it again is right. fault.Unavailable: the broker does not answer.
func (a *Accounts) Ensure(ctx context.Context, name, seedFile string) error {
	account, err := readSeed(seedFile)
	if errors.Is(err, fs.ErrNotExist) {
		account, err = makeSeed(seedFile)
	}
	if err != nil {
		return err
	}
	return a.push(ctx, name, account)
}

// Remove removes the account whose seed is in a file, with everything that is stored in it, and then the file. A file that
// is not there is an account that is not there. fault.Unavailable: the broker does not answer.
func (a *Accounts) Remove(ctx context.Context, name, seedFile string) error {
	account, err := readSeed(seedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// An attempt that was interrupted may have removed it already: one who is known can look into it.
	if err := a.push(ctx, name, account); err != nil {
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
	if err := os.Remove(seedFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the seed of a NATS account: %w", err)
	}
	return nil
}

func (a *Accounts) push(ctx context.Context, name string, account nkeys.KeyPair) error {
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
		return nil, fmt.Errorf("read the seed of a NATS account: %w", err)
	}
	account, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		return nil, fmt.Errorf("%s holds no seed of a NATS account: %w", file, err)
	}
	return account, nil
}

// makeSeed makes an account's key and its file, whole or not at all.
func makeSeed(file string) (nkeys.KeyPair, error) {
	account, err := nkeys.CreateAccount()
	if err != nil {
		return nil, fmt.Errorf("make a NATS account: %w", err)
	}
	seed, err := account.Seed()
	if err != nil {
		return nil, fmt.Errorf("make a NATS account: %w", err)
	}
	// What a killed one has left is written over.
	part := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".part")
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep the seed of a NATS account: %w", err)
	}
	_, err = out.Write(append(seed, '\n'))
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = os.Rename(part, file)
	}
	if err != nil {
		return nil, fmt.Errorf("keep the seed of a NATS account: %w", errors.Join(err, os.Remove(part)))
	}
	return account, nil
}
