package versions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/remote"
	"github.com/konstellation-io/kre/cli/internal/run/dotenv"
	"github.com/konstellation-io/kre/cli/internal/terminal"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Config is `kre version config`.
type Config struct {
	List   ConfigList   `cmd:"" help:"Show which values a version declares, and which are set; never what they are."`
	Set    ConfigSet    `cmd:"" help:"Set values; a running version is restarted node by node."`
	Unset  ConfigUnset  `cmd:"" help:"Take values away."`
	Import ConfigImport `cmd:"" help:"Set the values that a .env file has."`
}

// getConfig asks what a version declares.
func getConfig(ctx context.Context, e *remote.Engine, version string) (*adminv1.Config, error) {
	return remote.Ask(ctx, e, "look at the configuration of "+remote.Last(version), e.Versions.GetConfig,
		&adminv1.GetConfigRequest{Name: version + "/config"})
}

// ConfigList is `kre version config list`.
type ConfigList struct {
	Named
	output.Format
}

// Help is shown below the flags.
func (*ConfigList) Help() string {
	return `Examples:
  kre version config list prices-v2
  kre version config list prices-v2 -o json | jq -r '.keys[] | select(.set | not) | .key'`
}

// Run prints the keys.
func (l *ConfigList) Run(ctx context.Context, con *console.Console) error {
	e, name, err := l.open()
	if err != nil {
		return err
	}
	defer e.Close()
	config, err := getConfig(ctx, e, name)
	if err != nil {
		return err
	}
	return showConfig(con, l.Format, config)
}

// showConfig prints the keys of a configuration.
func showConfig(con *console.Console, format output.Format, config *adminv1.Config) error {
	if format.Structured() {
		return format.Message(con.Out, config)
	}
	if len(config.GetKeys()) == 0 {
		con.Tell("It declares none.")
		return nil
	}
	table := output.NewTable(con.Printer(), "KEY", "KIND", "VALUE", "SET", "BY", "FROM")
	for _, key := range config.GetKeys() {
		value := output.Cell{Text: "missing", Color: look.Yellow}
		if key.GetSet() {
			value = output.Cell{Text: "set", Color: look.Green}
		}
		table.Row(output.Plain("%s", key.GetKey()), output.Plain("%s", strings.ToLower(key.GetKind().String())), value,
			output.Plain("%s", output.Clock(key.GetUpdateTime())), output.Plain("%s", key.GetUpdater()), output.Plain("%s", remote.Last(key.GetInheritedFrom())))
	}
	table.Print()
	return nil
}

// ConfigSet is `kre version config set`.
type ConfigSet struct {
	Named
	output.Format
	remote.Why
	Values []string `arg:"" optional:"" placeholder:"KEY=VALUE" help:"Variables. KEY alone: its value is asked for, or read from standard input."`
	File   []string `sep:"none" placeholder:"KEY=PATH" help:"A file to set; may be repeated."`
}

// Help is shown below the flags.
func (*ConfigSet) Help() string {
	return `Examples:
  kre version config set prices-v2 CURRENCY=EUR RATE=1.2
  kre version config set prices-v2 API_KEY < key        leaves no trace in the shell's history
  kre version config set prices-v2 --file MODEL=model.bin`
}

// Run sets values, all or none.
func (s *ConfigSet) Run(ctx context.Context, con *console.Console) error {
	if len(s.Values)+len(s.File) == 0 {
		return errors.New("nothing to set: give KEY=VALUE or --file KEY=PATH")
	}
	request := &adminv1.UpdateConfigRequest{Comment: s.Comment, Variables: make(map[string]string), Files: make(map[string][]byte)}
	asked := ""
	for _, pair := range s.Values {
		key, value, given := strings.Cut(pair, "=")
		if !given && asked != "" && !con.InTerminal() {
			return fmt.Errorf("standard input holds one value: that of %s or of %s", asked, key)
		}
		if !given {
			var err error
			if value, err = con.AskSecret("Value of " + key + ": "); err != nil {
				return err
			}
			asked = key
		}
		request.Variables[key] = value
	}
	for _, pair := range s.File {
		key, path, given := strings.Cut(pair, "=")
		if !given || key == "" {
			return fmt.Errorf("--file %q: want KEY=PATH", pair)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("--file %s: %w", key, err)
		}
		request.Files[key] = content
	}
	return s.update(ctx, con, s.Format, request)
}

// update changes a configuration.
func (n Named) update(ctx context.Context, con *console.Console, format output.Format, request *adminv1.UpdateConfigRequest) error {
	e, name, err := n.open()
	if err != nil {
		return err
	}
	defer e.Close()
	return updateConfig(ctx, e, con, format, name, request)
}

func updateConfig(ctx context.Context, e *remote.Engine, con *console.Console, format output.Format, version string, request *adminv1.UpdateConfigRequest) error {
	request.Name = version + "/config"
	config, err := remote.Ask(ctx, e, "configure "+remote.Last(version), e.Versions.UpdateConfig, request)
	if err != nil {
		return err
	}
	return showConfig(con, format, config)
}

// ConfigUnset is `kre version config unset`.
type ConfigUnset struct {
	Named
	output.Format
	remote.Why
	Keys []string `arg:"" placeholder:"KEY" help:"Keys."`
}

// Help is shown below the flags.
func (*ConfigUnset) Help() string {
	return `Examples:
  kre version config unset prices-v2 API_KEY --comment "it leaked"`
}

// Run takes values away, all or none.
func (u *ConfigUnset) Run(ctx context.Context, con *console.Console) error {
	return u.update(ctx, con, u.Format, &adminv1.UpdateConfigRequest{Comment: u.Comment, Unset: u.Keys})
}

// ConfigImport is `kre version config import`.
type ConfigImport struct {
	Named
	output.Format
	remote.Why
	EnvFile string `arg:"" optional:"" name:"file" default:".env" type:"path" help:"File of lines KEY=VALUE."`
}

// Help is shown below the flags.
func (*ConfigImport) Help() string {
	return `Examples:
  kre version config import prices-v2             the .env in this folder
  kre version config import prices-v2 prod.env

As with kre run: of a file that the version declares, the value is its path, as seen from the .env. What the version does
not declare is left out.`
}

// Run sets what a file has of the declared values.
func (i *ConfigImport) Run(ctx context.Context, con *console.Console) error {
	content, err := os.ReadFile(i.EnvFile)
	if err != nil {
		return fmt.Errorf("cannot import %s: %w", filepath.Base(i.EnvFile), err)
	}
	values, err := dotenv.Parse(string(content))
	if err != nil {
		return fmt.Errorf("cannot import %s: %w", filepath.Base(i.EnvFile), err)
	}
	e, name, err := i.open()
	if err != nil {
		return err
	}
	defer e.Close()
	config, err := getConfig(ctx, e, name)
	if err != nil {
		return err
	}
	request := &adminv1.UpdateConfigRequest{Comment: i.Comment, Variables: make(map[string]string), Files: make(map[string][]byte)}
	var declared []string
	for _, key := range config.GetKeys() {
		declared = append(declared, key.GetKey())
		value, given := values[key.GetKey()]
		if !given {
			continue
		}
		delete(values, key.GetKey())
		if key.GetKind() != adminv1.Config_Key_FILE {
			request.Variables[key.GetKey()] = value
			continue
		}
		if !filepath.IsAbs(value) {
			value = filepath.Join(filepath.Dir(i.EnvFile), value)
		}
		if request.Files[key.GetKey()], err = os.ReadFile(value); err != nil {
			return fmt.Errorf("cannot import %s: %s: %w", filepath.Base(i.EnvFile), key.GetKey(), err)
		}
	}
	if len(request.GetVariables())+len(request.GetFiles()) == 0 {
		return fmt.Errorf("%s sets nothing that %s declares (%s)", filepath.Base(i.EnvFile), remote.Last(name), strings.Join(declared, ", "))
	}
	if len(values) > 0 {
		con.Tell("left out, because the version does not declare it: %s", terminal.Clean(strings.Join(slices.Sorted(maps.Keys(values)), ", ")))
	}
	return updateConfig(ctx, e, con, i.Format, name, request)
}
