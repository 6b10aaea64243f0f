package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/kit/fault"
)

// ConfigChange says which values to set and unset.
type ConfigChange struct {
	Transition
	Variables map[string]string
	Files     map[string][]byte
	Unset     []string
}

// GetConfig tells what a version declares and what of it is set.
func (e *Engine) GetConfig(ctx context.Context, runtime, version string) (ConfigView, error) {
	entry, err := e.whole(ctx, runtime, version)
	if err != nil {
		return ConfigView{}, err
	}
	details, err := e.details(ctx, runtime, entry)
	if err != nil {
		return ConfigView{}, err
	}
	settings, err := e.settings(ctx, runtime, entry)
	if err != nil {
		return ConfigView{}, err
	}
	return showConfig(entry, details, settings), nil
}

func showConfig(entry *Entry, details Details, settings map[string]Setting) ConfigView {
	view := ConfigView{Runtime: details.Runtime, Version: entry.Name, Revision: entry.Revision}
	for _, declared := range []struct {
		kind ConfigKind
		keys []string
	}{{Variable, details.Variables}, {File, details.Files}} {
		for _, key := range slices.Sorted(slices.Values(declared.keys)) {
			setting, set := settings[key]
			view.Keys = append(view.Keys, ConfigKey{
				Key: key, Kind: declared.kind, Set: set,
				UpdateTime: setting.UpdateTime, Updater: setting.Updater, InheritedFrom: setting.InheritedFrom,
			})
		}
	}
	return view
}

// settings reads the values of a version, by key.
func (e *Engine) settings(ctx context.Context, runtime string, entry *Entry) (map[string]Setting, error) {
	settings := make(map[string]Setting)
	if entry.Config == "" {
		return settings, nil
	}
	config, err := e.Store.Config(ctx, runtime, entry.Key(), entry.Config)
	if err != nil {
		return nil, storeError(err)
	}
	for _, setting := range config.Settings {
		settings[setting.Key] = setting
	}
	return settings, nil
}

// UpdateConfig sets and unsets values: all of it, or nothing. A running version has to keep every value that it declares; it
// is told to run with the new ones.
func (e *Engine) UpdateConfig(ctx context.Context, c ConfigChange) (ConfigView, error) {
	if err := checkText("comment", c.Comment); err != nil {
		return ConfigView{}, err
	}
	entry, err := e.whole(ctx, c.Runtime, c.Version)
	if err != nil {
		return ConfigView{}, err
	}
	details, err := e.details(ctx, c.Runtime, entry)
	if err != nil {
		return ConfigView{}, err
	}
	if err := c.check(details); err != nil {
		return ConfigView{}, err
	}
	changed := slices.Concat(slices.Sorted(maps.Keys(c.Variables)), slices.Sorted(maps.Keys(c.Files)), slices.Sorted(slices.Values(c.Unset)))
	var settings map[string]Setting
	ledger, err := e.change(ctx, c.Runtime, func(l *Ledger) error {
		entry := l.Entry(c.Version)
		switch {
		case l.Deleting:
			return deleting(c.Runtime)
		case entry == nil || entry.Key() != details.Key:
			return noVersion(c.Runtime, c.Version)
		case entry.Deleting:
			return wrongState(c.Version, StateDeleting, "it is being removed")
		case c.Revision != 0 && c.Revision != entry.Revision:
			return conflict(entry.Revision)
		}
		var err error
		if settings, err = e.settings(ctx, c.Runtime, entry); err != nil || len(changed) == 0 {
			return cmpError(err, errNothing)
		}
		if err := e.set(ctx, c, settings); err != nil {
			return err
		}
		lacking := lacks(details, settings)
		if entry.Running && len(lacking) > 0 {
			return wrongState(c.Version, StateStarted, "it runs and needs "+strings.Join(lacking, ", ")+"; stop it before these are unset")
		}
		if entry.Config, err = e.putConfig(ctx, l, entry.Key(), settings); err != nil {
			return err
		}
		entry.Missing, entry.Revision = lacking, l.Revision
		if entry.WishRevision != 0 {
			l.wish(entry)
		}
		note(ctx, l, ActionUpdateConfig, c.Version, c.Comment, map[string]string{"keys": strings.Join(changed, ",")})
		return nil
	})
	if err != nil {
		return ConfigView{}, err
	}
	if entry = ledger.Entry(c.Version); entry == nil {
		return ConfigView{}, noVersion(c.Runtime, c.Version)
	}
	if len(changed) > 0 {
		e.tell(ctx, &ledger, entry, e.observed.of(c.Runtime))
		if err := e.Store.PruneConfigs(ctx, c.Runtime, entry.Key(), entry.Revision, entry.Config); err != nil {
			e.log.Warn("earlier values of a version could not be removed", nameFields(c.Runtime, c.Version, err)...)
		}
	}
	return showConfig(entry, details, settings), nil
}

// cmpError is the first of two errors that there is.
func cmpError(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// set changes settings as asked.
func (e *Engine) set(ctx context.Context, c ConfigChange, settings map[string]Setting) error {
	put := func(key string, kind ConfigKind, value []byte) error {
		sealed, err := e.Sealer.Seal(value, place(c.Runtime, c.Version, key))
		settings[key] = Setting{Key: key, Kind: kind, Sealed: sealed, UpdateTime: now(), Updater: actorOf(ctx)}
		return err
	}
	for key, value := range c.Variables {
		if err := put(key, Variable, []byte(value)); err != nil {
			return err
		}
	}
	for key, value := range c.Files {
		if err := put(key, File, value); err != nil {
			return err
		}
	}
	for _, key := range c.Unset {
		delete(settings, key)
	}
	size := 0
	for _, setting := range settings {
		size += len(setting.Sealed)
	}
	if size > maxValues {
		return tooLarge(maxValues, "all values of version %s together would have %d bytes; at most %d are kept", c.Version, size, maxValues)
	}
	return nil
}

// putConfig writes settings as a configuration of its own, which the ledger names from now on, and returns its id.
func (e *Engine) putConfig(ctx context.Context, ledger *Ledger, key Key, settings map[string]Setting) (string, error) {
	if len(settings) == 0 {
		return "", nil
	}
	config := Config{Runtime: ledger.Name, Key: key, ID: rand.Text(), Revision: ledger.Revision}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		config.Settings = append(config.Settings, settings[name])
	}
	return config.ID, storeError(e.Store.PutConfig(ctx, config))
}

// check refuses keys that are not declared and values that are too large; every wrong key is listed.
func (c ConfigChange) check(details Details) error {
	var wrong []fault.Field
	refuse := func(field, format string, args ...any) {
		wrong = append(wrong, fault.Field{Path: field, Message: fmt.Sprintf(format, args...)})
	}
	for _, key := range slices.Sorted(maps.Keys(c.Variables)) {
		switch {
		case slices.Contains(details.Files, key):
			refuse("variables."+key, "%s is a file; set it among the files", key)
		case !slices.Contains(details.Variables, key):
			refuse("variables."+key, "%s", undeclared(details, key))
		case len(c.Variables[key]) > MaxVariable:
			return tooLarge(MaxVariable, "the value of %s has %d bytes; a variable may have %d: declare a file for more", key, len(c.Variables[key]), MaxVariable)
		case strings.ContainsRune(c.Variables[key], 0):
			refuse("variables."+key, "an environment variable cannot hold a zero byte")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Files)) {
		switch {
		case slices.Contains(details.Variables, key):
			refuse("files."+key, "%s is a variable; set it among the variables", key)
		case !slices.Contains(details.Files, key):
			refuse("files."+key, "%s", undeclared(details, key))
		case len(c.Files[key]) > MaxFile:
			return tooLarge(MaxFile, "the file %s has %d bytes; a configuration file may have %d: put larger ones into the package", key, len(c.Files[key]), MaxFile)
		}
	}
	for _, key := range c.Unset {
		_, variable := c.Variables[key]
		_, file := c.Files[key]
		switch {
		case variable || file:
			refuse("unset", "%s is to be set and unset at once", key)
		case !slices.Contains(details.Variables, key) && !slices.Contains(details.Files, key):
			refuse("unset", "%s", undeclared(details, key))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	refusal := fault.New(fault.Invalid, "%s", wrong[0].Message).For(ReasonInvalidRequest)
	if len(wrong) > 1 {
		refusal.Message = fmt.Sprintf("%s (and %d more)", wrong[0].Message, len(wrong)-1)
	}
	refusal.Fields = wrong
	return refusal
}

// undeclared says what is wrong with a key that a version does not declare.
func undeclared(details Details, key string) string {
	declared := slices.Concat(details.Variables, details.Files)
	switch similar := nearest(key, declared); {
	case similar != "":
		return fmt.Sprintf("version %s declares no %q; did you mean %q?", details.Key.Version, key, similar)
	case len(declared) == 0:
		return fmt.Sprintf("version %s declares no configuration at all, so no %q", details.Key.Version, key)
	default:
		return fmt.Sprintf("version %s declares no %q; it declares %s", details.Key.Version, key, strings.Join(declared, ", "))
	}
}

// lacks lists the declared keys without a value.
func lacks(details Details, settings map[string]Setting) []string {
	var keys []string
	for _, key := range slices.Concat(details.Variables, details.Files) {
		if _, set := settings[key]; !set {
			keys = append(keys, key)
		}
	}
	return keys
}

// place is what a sealed value is bound to.
func place(runtime, version, key string) []byte {
	return []byte(strings.Join([]string{runtime, version, key}, "/"))
}

// inherit takes over, key by key, the values of the runtime's most recent version that has them.
func (e *Engine) inherit(ctx context.Context, ledger *Ledger, details Details) (map[string]Setting, error) {
	settings := make(map[string]Setting)
	var earlier []*Entry
	for i := range ledger.Entries {
		if entry := &ledger.Entries[i]; entry.Name != details.Key.Version && !entry.Creating() && entry.Config != "" {
			earlier = append(earlier, entry)
		}
	}
	newestFirst(earlier)
	for _, entry := range earlier {
		lacking := lacks(details, settings)
		if len(lacking) == 0 {
			break
		}
		theirs, err := e.settings(ctx, ledger.Name, entry)
		if err != nil && fault.KindOf(err) == fault.NotFound {
			continue // replaced or removed just now
		}
		if err != nil {
			return nil, err
		}
		for _, key := range lacking {
			setting, set := theirs[key]
			if !set {
				continue
			}
			plain, err := e.Sealer.Open(setting.Sealed, place(ledger.Name, entry.Name, key))
			if err != nil {
				return nil, fmt.Errorf("open the value of %s of version %s: %w", key, entry.Name, err)
			}
			if setting.Sealed, err = e.Sealer.Seal(plain, place(ledger.Name, details.Key.Version, key)); err != nil {
				return nil, err
			}
			setting.Kind, setting.InheritedFrom = Variable, entry.Name
			if slices.Contains(details.Files, key) {
				setting.Kind = File
			}
			settings[key] = setting
		}
	}
	return settings, nil
}

// open reads the values of a version as its nodes get them.
func (e *Engine) open(ctx context.Context, runtime string, entry *Entry) (map[string]string, map[string][]byte, error) {
	settings, err := e.settings(ctx, runtime, entry)
	if err != nil {
		return nil, nil, err
	}
	variables, files := make(map[string]string), make(map[string][]byte)
	for key, setting := range settings {
		plain, err := e.Sealer.Open(setting.Sealed, place(runtime, entry.Name, key))
		if err != nil {
			return nil, nil, fmt.Errorf("open the value of %s: %w", key, err)
		}
		if setting.Kind == File {
			files[key] = plain
		} else {
			variables[key] = string(plain)
		}
	}
	return variables, files, nil
}
