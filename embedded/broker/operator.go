package broker

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Operator is a folder with what belongs to a broker in operator mode: one that trusts accounts which the operator's key
// has signed, and takes new ones while it runs.
//
//	operator.seed   private key of the operator: whoever has it makes accounts
//	operator.jwt    whom the server trusts
//	system.creds    credentials of the system account: whoever has them pushes and removes accounts
//	accounts/       the accounts that were pushed to the server
//	jetstream/      streams, unless they are told to be elsewhere
//	nats.conf       for a nats-server of its own: see WriteConfig
type Operator struct {
	dir string
}

// InitOperator makes an operator folder, or finds the one that is there as it is. All of it is for the owner's eyes
// only. Interrupted, it begins anew the next time.
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
	if err := o.fill(); err != nil {
		return nil, fmt.Errorf("cannot make the operator's folder %s: %w", dir, err)
	}
	return o, nil
}

// Dir is the folder, as an absolute path.
func (o *Operator) Dir() string { return o.dir }

// SeedFile is the file with the operator's private key.
func (o *Operator) SeedFile() string { return filepath.Join(o.dir, "operator.seed") }

// SystemCreds is the file with the credentials of the system account.
func (o *Operator) SystemCreds() string { return filepath.Join(o.dir, "system.creds") }

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
	// What an earlier attempt left was signed by somebody whom nobody knows any more.
	accounts := filepath.Join(o.dir, "accounts")
	if err := os.RemoveAll(accounts); err != nil {
		return err
	}
	if err := os.MkdirAll(accounts, 0o700); err != nil {
		return err
	}
	for _, file := range []struct {
		name    string
		content []byte
	}{
		{filepath.Join(accounts, systemID+".jwt"), []byte(systemJWT)},
		{filepath.Join(o.dir, "operator.jwt"), []byte(operatorJWT)},
		{o.SystemCreds(), creds},
		{o.SeedFile(), seed}, // the last: with it the folder is complete
	} {
		if err := writeFile(file.name, file.content); err != nil {
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

// Mount says how a nats-server of its own, in a container perhaps, sees the operator's folder, and where it listens.
type Mount struct {
	Path     string // where it finds the folder; empty: where it is
	StoreDir string // where it keeps streams; empty: jetstream in the folder
	Host     string // address to listen on; empty: 127.0.0.1
	Port     int    // port to listen on; 0: 4222
	HTTP     int    // port of the monitoring pages (/healthz), on the same address; 0: none
}

// WriteConfig writes nats.conf for a nats-server that sees the folder as the mount tells.
func (o *Operator) WriteConfig(m Mount) error {
	if m.Path == "" {
		m.Path = o.dir
	}
	if m.StoreDir == "" {
		m.StoreDir = path.Join(m.Path, "jetstream")
	}
	if m.Host == "" {
		m.Host = "127.0.0.1"
	}
	if m.Port == 0 {
		m.Port = 4222
	}
	return writeFile(filepath.Join(o.dir, "nats.conf"), []byte(config(m)))
}
