// Package store is `kre store`: the embedded stores one by one, each as a server of its own, and what a broker and the
// services of an engine need to know of each other. Docker Compose uses it where images of the real stores are out of
// reach; a person normally wants `kre up`.
package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/libexec"
	"github.com/konstellation-io/kre/cli/internal/secrets"
	"github.com/konstellation-io/kre/embedded/broker"
	"github.com/konstellation-io/kre/embedded/documents"
	"github.com/konstellation-io/kre/embedded/objects"
	"github.com/konstellation-io/kre/kit/log"
)

// Command is the command line.
type Command struct {
	Documents    Documents    `cmd:"" help:"Serve documents: FerretDB behind a proxy that lets one write at a time through. It asks nobody for a password."`
	Objects      Objects      `cmd:"" help:"Serve objects: versitygw, which understands S3."`
	Secrets      Secrets      `cmd:"" help:"Make, once, the tokens and keys of an engine, and the operator of its broker."`
	BrokerConfig BrokerConfig `cmd:"" help:"Make, once, an operator for a NATS of your own, and its configuration."`
}

// Help is shown below the commands.
func (c *Command) Help() string {
	return `Examples:
  kre store documents --addr 127.0.0.1:27017 --data documents
  KRE_S3_ACCESS_KEY=… KRE_S3_SECRET_KEY=… kre store objects --addr 127.0.0.1:9100 --data objects
  kre store broker-config operator && nats-server -c operator/nats.conf

Each serves until it is told to end (Ctrl-C, SIGTERM).`
}

// Documents is `kre store documents`.
type Documents struct {
	Addr string `default:"127.0.0.1:27017" placeholder:"HOST:PORT" help:"Address to listen on. One that other machines reach is meant for a container's own network."`
	Data string `required:"" type:"path" placeholder:"DIR" help:"Folder for the databases."`
}

// Help is shown below the flags.
func (*Documents) Help() string {
	return `Examples:
  kre store documents --addr 127.0.0.1:27017 --data documents`
}

// Run serves until ctx is cancelled.
func (c *Documents) Run(ctx context.Context, console *console.Console) error {
	logger, err := log.NewWriter(log.Flags{LogFormat: "json", LogLevel: "info"}, console.Err)
	if err != nil {
		return err
	}
	server, err := documents.Start(ctx, documents.Options{Dir: c.Data, Addr: c.Addr, Anywhere: true, Logger: logger})
	if err != nil {
		return err
	}
	logger.Info("serving", zap.String("address", server.Addr()))
	<-ctx.Done()
	return server.Close()
}

// Objects is `kre store objects`.
type Objects struct {
	Addr          string `default:"127.0.0.1:9100" placeholder:"HOST:PORT" help:"Address to listen on."`
	Data          string `required:"" type:"path" placeholder:"DIR" help:"Folder for buckets and objects."`
	AccessKey     string `env:"KRE_S3_ACCESS_KEY" placeholder:"KEY" help:"Of the one account there is."`
	SecretKey     string `env:"KRE_S3_SECRET_KEY" placeholder:"KEY" help:"Of the one account there is. Better in the environment than on the command line."`
	AccessKeyFile string `env:"KRE_S3_ACCESS_KEY_FILE" type:"path" placeholder:"FILE" help:"File with the access key."`
	SecretKeyFile string `env:"KRE_S3_SECRET_KEY_FILE" type:"path" placeholder:"FILE" help:"File with the secret key."`
}

// Help is shown below the flags.
func (*Objects) Help() string {
	return `Examples:
  KRE_S3_ACCESS_KEY=… KRE_S3_SECRET_KEY=… kre store objects --addr 127.0.0.1:9100 --data objects
  kre store objects --data objects --access-key-file s3.access --secret-key-file s3.secret`
}

// Run serves until ctx is cancelled.
func (c *Objects) Run(ctx context.Context, console *console.Console) error {
	access, err := secret(c.AccessKey, c.AccessKeyFile, "KRE_S3_ACCESS_KEY")
	if err != nil {
		return err
	}
	key, err := secret(c.SecretKey, c.SecretKeyFile, "KRE_S3_SECRET_KEY")
	if err != nil {
		return err
	}
	logger, err := log.NewWriter(log.Flags{LogFormat: "json", LogLevel: "info"}, console.Err)
	if err != nil {
		return err
	}
	server, err := objects.Start(ctx, objects.Options{
		Dir: c.Data, Addr: c.Addr, Anywhere: true, AccessKey: access, SecretKey: key, Logger: logger,
	})
	if err != nil {
		return err
	}
	logger.Info("serving", zap.String("address", server.Addr()))
	<-ctx.Done()
	return server.Close()
}

// secret is what was given, or what the file holds.
func secret(given, file, name string) (string, error) {
	if given != "" {
		return given, nil
	}
	if file == "" {
		return "", fmt.Errorf("%s or %s_FILE is required", name, name)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", name, err)
	}
	return strings.TrimSpace(string(content)), nil
}

// Secrets is `kre store secrets`.
type Secrets struct {
	Dir      string `arg:"" type:"path" help:"Folder for them: admin.token, service.token, s3.access, s3.secret, keyset.json, and nats with the operator and nats.conf."`
	NATSHost string `name:"nats-host" default:"0.0.0.0" help:"Address that nats.conf has the broker listen on."`
	NATSPort int    `name:"nats-port" default:"4222" help:"Port that nats.conf has the broker listen on."`
	NATSHTTP int    `name:"nats-http" default:"8222" help:"Port of the broker's monitoring pages."`
	NATSPath string `name:"nats-path" default:"/secrets/nats" help:"Where the broker finds the folder nats: in its container, say."`
	NATSData string `name:"nats-data" default:"/data" help:"Where the broker keeps its streams."`
	Owner    int    `default:"-1" placeholder:"UID" help:"User who gets the files, where the services do not run as root."`
}

// Help is shown below the flags.
func (*Secrets) Help() string {
	return `Examples:
  kre store secrets /secrets --owner 1000`
}

// Run makes what is not there yet.
func (c *Secrets) Run(ctx context.Context, console *console.Console) error {
	folder, err := libexec.Folder("admin-api")
	if err != nil {
		return err
	}
	made, err := secrets.Open(c.Dir)
	if err != nil {
		return err
	}
	if err := made.MakeKeyset(ctx, filepath.Join(folder, "admin-api")); err != nil {
		return err
	}
	operator, err := made.Operator()
	if err != nil {
		return err
	}
	if err := operator.WriteConfig(broker.Mount{Path: c.NATSPath, StoreDir: c.NATSData, Host: c.NATSHost, Port: c.NATSPort, HTTP: c.NATSHTTP}); err != nil {
		return err
	}
	if c.Owner >= 0 {
		if err := give(c.Dir, c.Owner); err != nil {
			return fmt.Errorf("give the secrets to user %d: %w", c.Owner, err)
		}
	}
	console.Printer().Line("the engine's secrets are in %s", c.Dir)
	return nil
}

// give gives a folder and everything in it to a user.
func give(dir string, owner int) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, owner, -1))
	})
}

// BrokerConfig is `kre store broker-config`.
type BrokerConfig struct {
	Dir  string `arg:"" type:"path" help:"Folder for the operator's keys, the accounts, and nats.conf."`
	Host string `default:"127.0.0.1" help:"Address that the broker listens on."`
	Port int    `default:"4222" help:"Port that the broker listens on."`
	HTTP int    `name:"http" help:"Port of the broker's monitoring pages; 0: none."`
	Data string `placeholder:"DIR" help:"Where the broker keeps its streams. Default: jetstream in the folder."`
	As   string `placeholder:"DIR" help:"Where the broker finds the folder, if that is elsewhere: in a container, say."`
}

// Help is shown below the flags.
func (*BrokerConfig) Help() string {
	return `Examples:
  kre store broker-config operator && nats-server -c operator/nats.conf`
}

// Run makes the operator unless it is there, and writes nats.conf.
func (c *BrokerConfig) Run(console *console.Console) error {
	operator, err := broker.InitOperator(c.Dir)
	if err != nil {
		return err
	}
	err = operator.WriteConfig(broker.Mount{Path: c.As, StoreDir: c.Data, Host: c.Host, Port: c.Port, HTTP: c.HTTP})
	if err != nil {
		return fmt.Errorf("write the broker's configuration: %w", err)
	}
	p := console.Printer()
	p.Line("nats-server -c %s", filepath.Join(operator.Dir(), "nats.conf"))
	p.Line("kre up --nats-url nats://%s:%d --nats-operator %s", c.Host, c.Port, operator.Dir())
	return nil
}
