package up

import (
	"context"
	"errors"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/cli/internal/secrets"
	"github.com/konstellation-io/kre/embedded/broker"
	"github.com/konstellation-io/kre/embedded/documents"
	"github.com/konstellation-io/kre/embedded/objects"
	"github.com/konstellation-io/kre/kit/ports"
	"golang.org/x/sync/errgroup"
)

// The files of an operator's folder that the engine needs.
const (
	operatorSeed = "operator.seed"
	systemCreds  = "system.creds"
)

// stores are where the engine keeps everything: embedded ones, or those a person has.
type stores struct {
	nats     string // URL
	operator string // folder
	mongo    string
	s3       s3

	broker    *broker.Broker // nil: a person's
	documents *documents.Server
	objects   *objects.Server
}

// storesOptions say what to open.
type storesOptions struct {
	given   given
	dir     string // of the embedded ones' data
	secrets *secrets.Secrets
	ports   chosen
	log     *zap.Logger
	warn    func(string)
}

// openStores starts the stores that nobody gave. What it returns is to be closed also where there is an error.
func openStores(ctx context.Context, o storesOptions) (*stores, error) {
	s := &stores{nats: o.given.nats, operator: o.given.operator, mongo: o.given.mongo, s3: o.given.s3}
	group, ctx := errgroup.WithContext(ctx)
	if s.nats == "" {
		group.Go(func() error { return s.openBroker(ctx, o) })
	}
	if s.mongo == "" {
		group.Go(func() (err error) {
			s.documents, err = documents.Start(ctx, documents.Options{
				Dir: filepath.Join(o.dir, "documents"), Logger: o.log.Named("documents"),
			})
			if err == nil {
				s.mongo = s.documents.URI()
			}
			return err
		})
	}
	if s.s3.endpoint == "" {
		group.Go(func() (err error) {
			s.objects, err = objects.Start(ctx, objects.Options{
				Dir: filepath.Join(o.dir, "objects"), Addr: ports.Address(ports.Loopback, o.ports.Objects),
				AccessKey: o.secrets.S3AccessKey, SecretKey: o.secrets.S3SecretKey, Logger: o.log.Named("objects"),
			})
			if err == nil {
				s.s3 = s3{endpoint: s.objects.URL(), access: o.secrets.S3AccessKey, secret: o.secrets.S3SecretKey}
			}
			return err
		})
	}
	return s, group.Wait()
}

func (s *stores) openBroker(ctx context.Context, o storesOptions) error {
	operator, err := o.secrets.Operator()
	if err != nil {
		return err
	}
	dir := filepath.Join(o.dir, "nats")
	// For a server of its own on the same streams, which kre up is told of by --nats-url.
	if err := operator.WriteConfig(broker.Mount{StoreDir: dir}); err != nil {
		return err
	}
	s.broker, err = broker.StartOperator(ctx, operator, broker.OperatorOptions{StoreDir: dir, Port: o.ports.NATS, Warn: o.warn})
	if err != nil {
		return err
	}
	s.nats, s.operator = s.broker.URL(), operator.Dir()
	return nil
}

// close ends the embedded ones; doing it twice does no harm.
func (s *stores) close() error {
	var errs []error
	if s.objects != nil {
		errs = append(errs, s.objects.Close())
	}
	if s.documents != nil {
		errs = append(errs, s.documents.Close())
	}
	if s.broker != nil {
		s.broker.Stop()
	}
	s.objects, s.documents, s.broker = nil, nil, nil
	return errors.Join(errs...)
}

// told names them as a person is told.
func (s *stores) told() string {
	text := ""
	for _, store := range []struct {
		name     string
		embedded bool
	}{{"nats", s.broker != nil}, {"documents", s.documents != nil}, {"objects", s.objects != nil}} {
		if store.embedded {
			text += store.name + " ✓ "
		} else {
			text += store.name + " (given) "
		}
	}
	return text
}
