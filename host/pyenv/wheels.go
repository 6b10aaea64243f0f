package pyenv

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// byHash answers the wheels in a folder by their SHA-256, as it is computed from their content.
func byHash(dir string) (map[string]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil {
		return nil, fmt.Errorf("look for wheels: %w", err)
	}
	wheels := make(map[string]string, len(names))
	for _, name := range names {
		hash, err := hashOf(name)
		if err != nil {
			return nil, err
		}
		wheels[hash] = name
	}
	return wheels, nil
}

// stored answers the wheels in the cache by their SHA-256, which is the name of the folder that each lies in.
func stored(store string) (map[string]string, error) {
	names, err := filepath.Glob(filepath.Join(store, "*", "*.whl"))
	if err != nil {
		return nil, fmt.Errorf("look for wheels: %w", err)
	}
	wheels := make(map[string]string, len(names))
	for _, name := range names {
		wheels[filepath.Base(filepath.Dir(name))] = name
	}
	return wheels, nil
}

func hashOf(name string) (string, error) {
	in, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("read a wheel: %w", err)
	}
	defer func() { _ = in.Close() }() // only read
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return "", fmt.Errorf("read a wheel: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// pick answers the wheel of every package of the lock, found by its hash, and the packages that have none.
func (l lock) pick(wheels map[string]string) (names []string, missing []pin) {
	for _, p := range l.Pins {
		name := ""
		for _, hash := range p.Hashes {
			if name == "" {
				name = wheels[hash]
			}
		}
		if name == "" {
			missing = append(missing, p)
			continue
		}
		names = append(names, name)
	}
	return names, missing
}
