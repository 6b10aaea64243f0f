package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// fileName is what the name of a configuration file may be: that of an environment variable, so that none leaves the
// folder.
var fileName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// WriteFiles writes configuration files into dir, which holds nothing else, readable by this user alone, and returns
// their paths by name. Files of earlier calls that contents does not have are removed.
func WriteFiles(dir string, contents map[string][]byte) (map[string]string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("write the configuration files: %w", err)
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("write the configuration files: %w", err)
	}
	for _, entry := range there {
		if _, wanted := contents[entry.Name()]; wanted {
			continue
		}
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove a configuration file: %w", err)
		}
	}
	paths := make(map[string]string, len(contents))
	for name, content := range contents {
		if !fileName.MatchString(name) {
			return nil, fmt.Errorf("configuration file %q: the name is not that of an environment variable", name)
		}
		paths[name] = filepath.Join(dir, name)
		if err := writeSecret(paths[name], content); err != nil {
			return nil, fmt.Errorf("write the configuration file %s: %w", name, err)
		}
	}
	return paths, nil
}

// WriteCredentials writes a file that only this user may read, whole or not at all: the one of NATSCredentials, say.
func WriteCredentials(name string, content []byte) error {
	if err := writeSecret(name, content); err != nil {
		return fmt.Errorf("write the credentials: %w", err)
	}
	return nil
}

// writeSecret replaces a file by rename, mode 0600, in a folder that is made with mode 0700 if need be. One caller at a
// time writes a file, so that what a killed one has left is written over.
func writeSecret(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	partial := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".part")
	if err := os.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) { // its mode may be another
		return err
	}
	if err := os.WriteFile(partial, content, 0o600); err != nil {
		return errors.Join(err, os.Remove(partial))
	}
	if err := os.Rename(partial, name); err != nil {
		return errors.Join(err, os.Remove(partial))
	}
	return nil
}
