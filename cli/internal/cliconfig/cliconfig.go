// Package cliconfig is what kre remembers for a person: the engines they talk to, and which of them by default.
package cliconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Config is the content of the file.
type Config struct {
	// Current names the context that commands use when they are told nothing else; empty: none was chosen.
	Current  string             `json:"current,omitempty"`
	Contexts map[string]Context `json:"contexts,omitempty"`
}

// Context is an engine and who one is to it.
type Context struct {
	GRPC    string `json:"grpc"`              // host:port
	Socket  string `json:"socket,omitempty"`  // unix:PATH, where the same answers and nobody else can; called in place of GRPC
	HTTP    string `json:"http"`              // URL, e.g. http://127.0.0.1:7080
	Token   string `json:"token,omitempty"`   // sent with each call
	Runtime string `json:"runtime,omitempty"` // the one that commands are about when they are told no other
}

// File is where the configuration is: config.json in $KRE_CONFIG_DIR, else in kre in the user's configuration folder.
func File() (string, error) {
	dir := os.Getenv("KRE_CONFIG_DIR")
	if dir == "" {
		user, err := os.UserConfigDir()
		if err != nil {
			return "", fmt.Errorf("cannot find the folder for kre's configuration: %w; KRE_CONFIG_DIR names one", err)
		}
		dir = filepath.Join(user, "kre")
	}
	file, err := filepath.Abs(filepath.Join(dir, "config.json"))
	if err != nil {
		return "", fmt.Errorf("cannot find the folder for kre's configuration: %w", err)
	}
	return file, nil
}

// Load reads the configuration; where there is none it is empty. Contexts is never nil.
func Load() (Config, error) {
	file, err := File()
	if err != nil {
		return Config{}, err
	}
	return LoadFile(file)
}

// LoadFile is Load for who asked for File before, e.g. because the working directory changes meanwhile.
func LoadFile(file string) (Config, error) {
	config := Config{Contexts: make(map[string]Context)}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return config, nil
	}
	if err != nil {
		return Config{}, fmt.Errorf("cannot read kre's configuration: %w", err)
	}
	if err := json.Unmarshal(content, &config); err != nil {
		return Config{}, fmt.Errorf("cannot read kre's configuration %s: %w; mend or remove it", file, err)
	}
	if config.Contexts == nil {
		config.Contexts = make(map[string]Context)
	}
	return config, nil
}

// Save writes the configuration whole, for its owner's eyes only: it holds tokens.
func (c Config) Save() error {
	file, err := File()
	if err != nil {
		return err
	}
	return c.SaveFile(file)
}

// SaveFile is Save for who asked for File before.
func (c Config) SaveFile(file string) error {
	if err := c.write(file); err != nil {
		return fmt.Errorf("cannot write kre's configuration: %w", err)
	}
	return nil
}

func (c Config) write(file string) error {
	content, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, ".config-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) //nolint:errcheck // it is not there when all went well
	_, err = temp.Write(append(content, '\n'))
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}
