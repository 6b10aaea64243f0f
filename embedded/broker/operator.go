package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Operator is a folder with what belongs to a broker in operator mode: one that trusts accounts which the operator's key
// has signed, and takes new ones while it runs.
//
//	operator.seed     private key of the operator: whoever has it makes accounts
//	system.creds      credentials of the system account: whoever has them pushes and removes accounts
//	server/           all that the server itself needs, and no more
//	  nats.conf       for a nats-server of its own
//	  operator.jwt    whom the server trusts
//	  accounts/       the accounts that were pushed to it
//	  jetstream/      streams, unless they are told to be elsewhere
type Operator struct {
	dir string
}

// InitOperator makes an operator folder, or finds the one that is there as it is. All of it is for the owner's eyes
// only. Its parts appear at once or, if it is interrupted, not at all.
func InitOperator(dir string) (*Operator, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	o := &Operator{dir: dir}
	switch _, err := os.Stat(o.SeedFile()); {
	case err == nil:
		return o, nil
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("cannot look into the operator's folder: %w", err)
	}
	if err := o.make(); err != nil {
		return nil, fmt.Errorf("cannot make the operator's folder %s: %w", dir, err)
	}
	return o, nil
}

// SeedFile is the file with the operator's private key.
func (o *Operator) SeedFile() string { return filepath.Join(o.dir, "operator.seed") }

// SystemCreds is the file with the credentials of the system account.
func (o *Operator) SystemCreds() string { return filepath.Join(o.dir, "system.creds") }

// ServerDir is the folder a server needs; a container is given nothing else.
func (o *Operator) ServerDir() string { return filepath.Join(o.dir, "server") }

// make fills a folder beside the one that is wanted, and renames it.
func (o *Operator) make() error {
	if err := os.MkdirAll(filepath.Dir(o.dir), 0o700); err != nil {
		return err
	}
	if err := os.Remove(o.dir); err != nil && !errors.Is(err, os.ErrNotExist) { // an empty one is as good as none
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(o.dir), "."+filepath.Base(o.dir)+"-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	if err := (&Operator{dir: fresh}).fill(); err != nil {
		return err
	}
	return os.Rename(fresh, o.dir)
}

func (o *Operator) fill() error {
	operator, err := nkeys.CreateOperator()
	if err != nil {
		return err
	}
	system, err := nkeys.CreateAccount()
	if err != nil {
		return err
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	systemID, err := system.PublicKey()
	if err != nil {
		return err
	}
	operatorJWT, err := operatorToken(operator, systemID)
	if err != nil {
		return err
	}
	systemJWT, err := accountToken(operator, systemID)
	if err != nil {
		return err
	}
	creds, err := userCreds(system, user)
	if err != nil {
		return err
	}
	seed, err := operator.Seed()
	if err != nil {
		return err
	}
	accounts := filepath.Join(o.ServerDir(), "accounts")
	if err := os.MkdirAll(accounts, 0o700); err != nil {
		return err
	}
	for file, content := range map[string][]byte{
		o.SeedFile():    seed,
		o.SystemCreds(): creds,
		filepath.Join(o.ServerDir(), "operator.jwt"): []byte(operatorJWT),
		filepath.Join(accounts, systemID+".jwt"):     []byte(systemJWT),
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func operatorToken(operator nkeys.KeyPair, systemAccount string) (string, error) {
	id, err := operator.PublicKey()
	if err != nil {
		return "", err
	}
	claims := jwt.NewOperatorClaims(id)
	claims.Name = "kre"
	claims.SystemAccount = systemAccount
	return claims.Encode(operator)
}

func accountToken(operator nkeys.KeyPair, id string) (string, error) {
	claims := jwt.NewAccountClaims(id)
	claims.Name = "system"
	return claims.Encode(operator)
}

func userCreds(account, user nkeys.KeyPair) ([]byte, error) {
	id, err := user.PublicKey()
	if err != nil {
		return nil, err
	}
	claims := jwt.NewUserClaims(id)
	claims.Name = "kre"
	token, err := claims.Encode(account)
	if err != nil {
		return nil, err
	}
	seed, err := user.Seed()
	if err != nil {
		return nil, err
	}
	return jwt.FormatUserConfig(token, seed)
}

// Mount says how a server sees its folder, and where it is to listen.
type Mount struct {
	Path string // where the server finds ServerDir; empty: where it is
	Host string // address to listen on; empty: 127.0.0.1
	Port int    // port to listen on; 0: 4222
	HTTP int    // port of the monitoring page, on the same address; 0: none
}

// WriteConfig writes nats.conf into ServerDir, for a nats-server that sees that folder as the mount tells.
func (o *Operator) WriteConfig(m Mount) error {
	if m.Path == "" {
		m.Path = o.ServerDir()
	}
	if m.Host == "" {
		m.Host = "127.0.0.1"
	}
	if m.Port == 0 {
		m.Port = 4222
	}
	return writeFile(filepath.Join(o.ServerDir(), "nats.conf"), []byte(config(m, filepath.Join(m.Path, "jetstream"))))
}
