package up

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/konstellation-io/kre/embedded/broker"
	"github.com/konstellation-io/kre/embedded/documents"
	"github.com/konstellation-io/kre/embedded/objects"

	"github.com/konstellation-io/kre/cli/internal/secrets"
)

// s3 is an object store.
type s3 struct{ endpoint, access, secret string }

// parseS3 reads http://KEY:SECRET@HOST:PORT; nil where there is nothing.
func parseS3(text string) (*s3, error) {
	if text == "" {
		return nil, nil
	}
	const want = "--s3-url: want http://KEY:SECRET@HOST:PORT, or https://"
	u, err := url.Parse(text)
	if err != nil { // which would show the secret
		return nil, errors.New(want)
	}
	secret, given := u.User.Password()
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User.Username() == "" || !given {
		return nil, errors.New(want)
	}
	return &s3{endpoint: u.Scheme + "://" + u.Host, access: u.User.Username(), secret: secret}, nil
}

// stores are the three stores, embedded or real.
type stores struct {
	nats     string
	operator *broker.Operator
	mongo    string
	s3       s3

	broker    *broker.Broker // nil: a real one
	documents *documents.Server
	objects   *objects.Server
}

// started tells that a part of the engine takes connections: where, and how long that took.
type started func(name, where string, took time.Duration)

// openStores starts what is not given, all at the same time. Where one does not start none is left.
func openStores(ctx context.Context, s settings, d *data, ports *kept, secret *secrets.Secrets, log *zap.Logger, warn func(string), tell started) (*stores, error) {
	opened := &stores{nats: s.natsURL, mongo: s.mongoURI, s3: s3{access: secret.S3AccessKey, secret: secret.S3SecretKey}}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return opened.openBroker(ctx, s, d, ports, secret, warn, tell) })
	if s.mongoURI == "" {
		group.Go(func() error { return opened.openDocuments(ctx, d, ports, log, tell) })
	}
	if s.s3 != nil {
		opened.s3 = *s.s3
	} else {
		group.Go(func() error { return opened.openObjects(ctx, d, ports, log, tell) })
	}
	if err := group.Wait(); err != nil {
		return nil, errors.Join(err, opened.close())
	}
	return opened, nil
}

func (o *stores) openBroker(ctx context.Context, s settings, d *data, ports *kept, secret *secrets.Secrets, warn func(string), tell started) (err error) {
	if s.natsURL != "" {
		o.operator, err = broker.InitOperator(s.natsOperator)
		return err
	}
	began := time.Now()
	if o.operator, err = secret.Operator(); err != nil {
		return err
	}
	if err := again(ctx, &ports.NATS); err != nil {
		return err
	}
	o.broker, err = broker.StartOperator(ctx, o.operator, broker.OperatorOptions{StoreDir: d.path("nats"), Port: ports.NATS, Warn: warn})
	if err != nil {
		return err
	}
	o.nats = o.broker.URL()
	tell("nats", o.broker.Addr(), time.Since(began))
	return nil
}

func (o *stores) openDocuments(ctx context.Context, d *data, kept *kept, log *zap.Logger, tell started) (err error) {
	began := time.Now()
	if err := again(ctx, &kept.Documents); err != nil {
		return err
	}
	o.documents, err = documents.Start(ctx, documents.Options{Dir: d.path("documents"), Addr: loopback(kept.Documents), Logger: log})
	if err != nil {
		return err
	}
	o.mongo = o.documents.URI()
	tell("documents", o.documents.Addr(), time.Since(began))
	return nil
}

func (o *stores) openObjects(ctx context.Context, d *data, kept *kept, log *zap.Logger, tell started) (err error) {
	began := time.Now()
	if err := again(ctx, &kept.Objects); err != nil {
		return err
	}
	o.objects, err = objects.Start(ctx, objects.Options{
		Dir: d.path("objects"), Addr: loopback(kept.Objects), AccessKey: o.s3.access, SecretKey: o.s3.secret, Logger: log,
	})
	if err != nil {
		return err
	}
	o.s3.endpoint = o.objects.URL()
	tell("objects", o.objects.Addr(), time.Since(began))
	return nil
}

// close ends the embedded ones; everything that uses them has ended before.
func (o *stores) close() error {
	if o == nil {
		return nil
	}
	var errs []error
	if o.objects != nil {
		errs = append(errs, explain("end the object store", o.objects.Close()))
	}
	if o.documents != nil {
		errs = append(errs, explain("end the document store", o.documents.Close()))
	}
	if o.broker != nil {
		o.broker.Stop()
	}
	return errors.Join(errs...)
}

// where tells of a real store, without what it is reached with.
func where(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "(given)"
	}
	return fmt.Sprintf("%s://%s", u.Scheme, u.Host)
}
