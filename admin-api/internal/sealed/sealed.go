// Package sealed keeps configuration values secret at rest: it encrypts them with AES-256-GCM under a keyset of Tink. What
// was sealed for one place opens for no other. Keys are rotated by adding one to the keyset; old values open on.
package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Sealer encrypts and decrypts.
type Sealer struct{ aead tink.AEAD }

// Open reads the keyset from a file: JSON, as NewKeyset writes it.
func Open(file string) (*Sealer, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the keyset: %w", err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(content)))
	if err != nil {
		return nil, fmt.Errorf("%s holds no keyset of Tink: %w", file, err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("the keyset %s cannot encrypt: %w", file, err)
	}
	return &Sealer{aead: primitive}, nil
}

// NewKeyset writes a new keyset with one key to a file for its owner only. A file that is there is left as it is, which is
// an error of fs.ErrExist: what was sealed with it would be lost.
func NewKeyset(file string) (err error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("make a keyset: %w", err)
	}
	var content bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&content)); err != nil {
		return fmt.Errorf("make a keyset: %w", err)
	}
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("write the keyset %s: %w", file, fs.ErrExist)
	}
	// Whole or not at all, and never in the place of another.
	temp, err := os.CreateTemp(filepath.Dir(file), ".keyset-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the keyset: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	_, err = temp.Write(content.Bytes())
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return fmt.Errorf("write the keyset: %w", err)
	}
	if err := os.Link(temp.Name(), file); err != nil {
		return fmt.Errorf("write the keyset: %w", err)
	}
	return nil
}

// Seal encrypts.
func (s *Sealer) Seal(plain, associated []byte) ([]byte, error) {
	sealed, err := s.aead.Encrypt(plain, associated)
	if err != nil {
		return nil, fmt.Errorf("encrypt a value: %w", err)
	}
	return sealed, nil
}

// Open decrypts what was sealed with the same associated data.
func (s *Sealer) Open(sealed, associated []byte) ([]byte, error) {
	plain, err := s.aead.Decrypt(sealed, associated)
	if err != nil {
		return nil, fmt.Errorf("decrypt a value: it was sealed for another place, or with a key that is not in the keyset: %w", err)
	}
	return plain, nil
}
