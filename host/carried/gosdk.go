package carried

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const goSDK = "files/go-sdk.zip"

// GoSDK writes the Go SDK's module into dir, which must not exist.
func GoSDK(dir string) error {
	data, err := goSDKZip()
	if err != nil {
		return err
	}
	content, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return fmt.Errorf("read the carried Go SDK: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("write the Go SDK: %w", err)
	}
	if err := os.CopyFS(dir, content); err != nil {
		return fmt.Errorf("write the Go SDK: %w", err)
	}
	return nil
}

// GoSDKDigest returns what changes whenever the carried Go SDK does.
func GoSDKDigest() (string, error) {
	data, err := goSDKZip()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

func goSDKZip() ([]byte, error) {
	data, err := files.ReadFile(goSDK)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrMissing
	}
	if err != nil {
		return nil, fmt.Errorf("read the carried Go SDK: %w", err)
	}
	return data, nil
}
