package pyenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// cacheFolder answers the folder of kre's cache.
func cacheFolder(named string) (string, error) {
	if named == "" {
		named = os.Getenv("KRE_CACHE")
	}
	if named != "" {
		dir, err := filepath.Abs(named)
		if err != nil {
			return "", fmt.Errorf("find the cache: %w", err)
		}
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache (name a folder in KRE_CACHE): %w", err)
	}
	return filepath.Join(dir, "kre"), nil
}

// writeFile writes a file of the cache, so that it is there whole or not at all.
func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("write into the cache: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return fmt.Errorf("write into the cache: %w", err)
	}
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write into the cache: %w", err), os.Remove(temp.Name()))
	}
	return nil
}
