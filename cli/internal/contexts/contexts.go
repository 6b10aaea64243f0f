// Package contexts keeps which engines a person knows, under names of their own: address, token, and the runtime that
// commands mean where none is named.
package contexts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/host/filelock"
)

// Local is the name of the context that `kre up` writes.
const Local = "local"

// Context is an engine as a person knows it.
type Context struct {
	Name    string `json:"name"`
	Address string `json:"address"`           // host:port of its gRPC
	Token   string `json:"token"`             // never printed
	Runtime string `json:"runtime,omitempty"` // the last part of its name; empty: none is chosen
	Data    string `json:"data,omitempty"`    // data directory of the `kre up` that wrote it
}

// Known are all contexts of a person.
type Known struct {
	Current  string    `json:"current,omitempty"` // name; empty: none is chosen
	Contexts []Context `json:"contexts"`          // by name
}

// Folder is where kre keeps what a person has set: KRE_CONFIG_DIR, else kre in the user's configuration folder.
func Folder() (string, error) {
	if dir := os.Getenv("KRE_CONFIG_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the folder for contexts: %w; KRE_CONFIG_DIR names one", err)
	}
	return filepath.Join(dir, "kre"), nil
}

func file() (string, error) {
	dir, err := Folder()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "contexts.json"), nil
}

// Load reads the contexts; there may be none.
func Load() (Known, error) {
	name, err := file()
	if err != nil {
		return Known{}, err
	}
	return read(name)
}

func read(name string) (Known, error) {
	content, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Known{}, nil
	}
	if err != nil {
		return Known{}, fmt.Errorf("read the contexts: %w", err)
	}
	var known Known
	if err := json.Unmarshal(content, &known); err != nil {
		return Known{}, fmt.Errorf("read the contexts: %s is damaged: %w; remove it and log in again", name, err)
	}
	return known, nil
}

// Change reads the contexts, lets change change them, and writes them whole or not at all, for the owner's eyes only. No
// other change comes between.
func Change(ctx context.Context, change func(*Known) error) error {
	name, err := file()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("keep the contexts: %w", err)
	}
	unlock, err := filelock.Lock(ctx, name+".lock")
	if err != nil {
		return fmt.Errorf("keep the contexts: %w", err)
	}
	defer unlock()
	known, err := read(name)
	if err != nil {
		return err
	}
	if err := change(&known); err != nil {
		return err
	}
	content, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep the contexts: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("keep the contexts: %w", err)
	}
	return nil
}

// Get is the context of a name; an empty name is the current one's.
func (k *Known) Get(name string) (Context, error) {
	if name == "" {
		if name = k.Current; name == "" {
			return Context{}, errors.New("no engine is known here: `kre up` starts one on this machine, `kre login ADDRESS` makes one known that runs elsewhere")
		}
	}
	if i := k.index(name); i >= 0 {
		return k.Contexts[i], nil
	}
	return Context{}, k.unknown(name)
}

func (k *Known) unknown(name string) error {
	if len(k.Contexts) == 0 {
		return fmt.Errorf("there is no context %s: `kre login` and `kre up` make contexts", name)
	}
	return fmt.Errorf("there is no context %s: there is %s", name, strings.Join(k.names(), ", "))
}

func (k *Known) names() []string {
	names := make([]string, 0, len(k.Contexts))
	for _, c := range k.Contexts {
		names = append(names, c.Name)
	}
	return names
}

func (k *Known) index(name string) int {
	return slices.IndexFunc(k.Contexts, func(c Context) bool { return c.Name == name })
}

// Put adds a context or replaces the one of its name, whose runtime stays chosen where it is the same engine's.
func (k *Known) Put(c Context) {
	i := k.index(c.Name)
	if i < 0 {
		k.Contexts = append(k.Contexts, c)
		slices.SortFunc(k.Contexts, func(a, b Context) int { return strings.Compare(a.Name, b.Name) })
		return
	}
	there := k.Contexts[i]
	if c.Runtime == "" && (c.Data == there.Data && c.Data != "" || c.Address == there.Address) {
		c.Runtime = there.Runtime
	}
	k.Contexts[i] = c
}

// Use makes a context the current one.
func (k *Known) Use(name string) error {
	if k.index(name) < 0 {
		return k.unknown(name)
	}
	k.Current = name
	return nil
}

// Remove forgets a context; where it was the current one, none is chosen then.
func (k *Known) Remove(name string) error {
	i := k.index(name)
	if i < 0 {
		return k.unknown(name)
	}
	k.Contexts = slices.Delete(k.Contexts, i, i+1)
	if k.Current == name {
		k.Current = ""
	}
	return nil
}

// Choose makes a runtime the one that commands mean with a context where none is named; an empty name chooses none.
func (k *Known) Choose(name, runtime string) error {
	i := k.index(name)
	if i < 0 {
		return k.unknown(name)
	}
	k.Contexts[i].Runtime = runtime
	return nil
}
