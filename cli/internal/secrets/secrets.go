// Package secrets makes, once, what the services of an engine prove themselves with, and keeps it in a folder for the
// owner's eyes only:
//
//	admin.token      what callers of the engine send
//	service.token    what its services send each other
//	s3.access        access key of the object store
//	s3.secret        secret key of the object store
//	keyset.json      keys that configuration values are sealed with
//	nats/            the broker's operator: see embedded/broker
package secrets

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/konstellation-io/kre/embedded/broker"
	"github.com/konstellation-io/kre/kit/proc"
)

// Secrets of an engine.
type Secrets struct {
	Dir          string // absolute
	AdminToken   string
	ServiceToken string
	S3AccessKey  string
	S3SecretKey  string
}

// Keyset is the file with the keys that configuration values are sealed with: see MakeKeyset.
func (s *Secrets) Keyset() string { return filepath.Join(s.Dir, "keyset.json") }

// AdminTokenFile is the file with the administrator's token.
func (s *Secrets) AdminTokenFile() string { return filepath.Join(s.Dir, "admin.token") }

// Open makes the tokens and keys that are not there yet.
func Open(dir string) (*Secrets, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for secrets: %w", err)
	}
	s := &Secrets{Dir: dir}
	for _, secret := range []struct {
		name string
		into *string
	}{
		{"admin.token", &s.AdminToken},
		{"service.token", &s.ServiceToken},
		{"s3.access", &s.S3AccessKey},
		{"s3.secret", &s.S3SecretKey},
	} {
		if *secret.into, err = keep(filepath.Join(dir, secret.name)); err != nil {
			return nil, fmt.Errorf("keep the secret %s: %w", secret.name, err)
		}
	}
	return s, nil
}

// keep reads a secret, or makes it.
func keep(file string) (string, error) {
	content, err := os.ReadFile(file)
	switch {
	case err == nil:
		secret := strings.TrimSpace(string(content))
		if secret == "" {
			return "", fmt.Errorf("%s is empty", file)
		}
		return secret, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	secret := rand.Text()
	if err := os.WriteFile(file+".new", []byte(secret+"\n"), 0o600); err != nil {
		return "", err
	}
	return secret, os.Rename(file+".new", file)
}

// Operator makes the broker's operator, or finds it.
func (s *Secrets) Operator() (*broker.Operator, error) {
	return broker.InitOperator(filepath.Join(s.Dir, "nats"))
}

// MakeKeyset has admin-api, the program at that path, make the keyset unless it is there: admin-api alone knows its form.
func (s *Secrets) MakeKeyset(ctx context.Context, adminAPI string) error {
	switch _, err := os.Stat(s.Keyset()); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	fresh := s.Keyset() + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	said, err := proc.Bind(exec.CommandContext(ctx, adminAPI, "new-keyset", fresh)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make the keys that configuration values are sealed with: %w: %s", err, strings.TrimSpace(string(said)))
	}
	if err := os.Chmod(fresh, 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, s.Keyset())
}
