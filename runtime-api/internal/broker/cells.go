package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runtime-api/internal/assets"
	"github.com/konstellation-io/kre/runtime-api/internal/nodestatus"
)

// accountBucket is the bucket of the runtime's account with the accounts of its versions.
const accountBucket = "accounts"

// Cells keeps what versions need of the broker, each version in an account of its own, where processes of it meet nothing else.
// A version that was prepared before there were such accounts is in the runtime's until it is prepared in its own; so is
// every version where the broker has no accounts. The keys of the accounts are kept in the runtime's, so that they are
// found again after a restart.
type Cells struct {
	home    *Broker  // in the runtime's account
	account *Account // the runtime's; nil: the broker has no accounts
	url     string
	opts    Options // of each connection
	log     *zap.Logger

	mu    sync.Mutex
	heard func(version string, note nodestatus.Note) // nil: nobody listens
	open  map[string]*cell                           // by version: those that may run
	keys  jetstream.KeyValue                         // nil: to be opened
}

var _ assets.Broker = (*Cells)(nil)

// cell is the account of a version.
type cell struct {
	*Broker
	account *Account
}

// keptAccount is what the bucket has of a version.
type keptAccount struct {
	Seed     string `json:"seed"`
	Released bool   `json:"released,omitempty"` // nothing of it runs
}

// OpenCells begins to connect to the broker at url, which may hold several addresses separated by commas; see Connect.
func OpenCells(url string, log *zap.Logger, opts Options) (*Cells, error) {
	home, err := Connect(url, log, opts)
	if err != nil {
		return nil, err
	}
	return &Cells{home: home, account: opts.Account, url: url, opts: opts, log: log, open: make(map[string]*cell)}, nil
}

// Home is the runtime's account.
func (c *Cells) Home() *Broker { return c.home }

// Close ends all connections.
func (c *Cells) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.open {
		one.Close()
	}
	clear(c.open)
	c.home.Close()
}

// Notes calls each with what the processes of all versions say of themselves. It is called before Recall, and before anything is
// asked of a version.
func (c *Cells) Notes(each func(version string, note nodestatus.Note)) error {
	c.mu.Lock()
	c.heard = each
	c.mu.Unlock()
	return c.home.Notes("*", func(version string, note nodestatus.Note) {
		// A version that has an account of its own says nothing here.
		c.mu.Lock()
		_, elsewhere := c.open[version]
		c.mu.Unlock()
		if !elsewhere {
			each(version, note)
		}
	})
}

// recallPause is the time between two attempts to find the accounts of versions.
const recallPause = time.Second

// Recall finds the accounts of the versions that may run, and listens to them. It tries until it has found them or ctx ends.
func (c *Cells) Recall(ctx context.Context) {
	if c.account == nil {
		return
	}
	for {
		err := c.recall(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		c.log.Warn("looking for the accounts of versions; trying on", zap.Error(err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(recallPause):
		}
	}
}

func (c *Cells) recall(ctx context.Context) error {
	if err := c.home.WaitConnected(ctx); err != nil {
		return err
	}
	keys, err := c.bucket(ctx)
	if err != nil {
		return err
	}
	var versions []string
	err = c.home.call(ctx, func(ctx context.Context) (err error) {
		versions, err = keys.Keys(ctx)
		if errors.Is(err, jetstream.ErrNoKeysFound) {
			err = nil
		}
		return errors.Join(err, ctx.Err()) // a list that was cut short is none
	})
	if err != nil {
		return c.lost(err, "list the accounts of versions")
	}
	for _, version := range versions {
		kept, err := c.kept(ctx, version)
		if err != nil {
			return err
		}
		if kept.Seed == "" || kept.Released {
			continue
		}
		if _, err := c.enter(version, kept.Seed); err != nil {
			c.log.Error("a version's account cannot be entered", zap.String("version", version), zap.Error(err))
		}
	}
	return nil
}

// bucket opens the bucket of accounts, which is made when it is not there.
func (c *Cells) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	c.mu.Lock()
	keys := c.keys
	c.mu.Unlock()
	if keys != nil {
		return keys, nil
	}
	if err := c.home.ready(ctx); err != nil {
		return nil, err
	}
	err := c.home.call(ctx, func(ctx context.Context) (err error) {
		keys, err = c.home.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: accountBucket, History: 1, Storage: jetstream.FileStorage, Replicas: c.home.replicas,
		})
		return err
	})
	if err != nil {
		return nil, c.home.fault(err, "create bucket %s", accountBucket)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = keys
	return keys, nil
}

// kept reads what is kept of a version's account; it is zero where it has none.
func (c *Cells) kept(ctx context.Context, version string) (keptAccount, error) {
	keys, err := c.bucket(ctx)
	if err != nil {
		return keptAccount{}, err
	}
	var kept keptAccount
	err = c.home.call(ctx, func(ctx context.Context) error {
		entry, err := keys.Get(ctx, version)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return json.Unmarshal(entry.Value(), &kept)
	})
	return kept, c.lost(err, "read the account of version %s", version)
}

func (c *Cells) keep(ctx context.Context, version string, kept keptAccount) error {
	keys, err := c.bucket(ctx)
	if err != nil {
		return err
	}
	content, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("keep the account of version %s: %w", version, err)
	}
	err = c.home.call(ctx, func(ctx context.Context) error {
		_, err := keys.Put(ctx, version, content)
		return err
	})
	return c.lost(err, "keep the account of version %s", version)
}

// lost is fault of the runtime's account; a bucket that is not there any more is made again the next time.
func (c *Cells) lost(err error, doing string, args ...any) error {
	if streamGone(err) {
		c.mu.Lock()
		c.keys = nil
		c.mu.Unlock()
	}
	return c.home.fault(err, doing, args...)
}

// enter connects to a version's account and listens to its processes, unless that is so already.
func (c *Cells) enter(version, seed string) (*cell, error) {
	account, err := parseAccount([]byte(seed))
	if err != nil {
		return nil, fault.New(fault.Invalid, "broker_keys.account_seed is %s", err.Error())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.open[version]; one != nil {
		if one.account.id == account.id {
			return one, nil
		}
		one.Close()
		delete(c.open, version)
	}
	one, err := c.connect(account)
	if err != nil {
		return nil, err
	}
	if c.heard != nil {
		if err := one.Notes(version, c.heard); err != nil {
			one.Close()
			return nil, err
		}
	}
	c.open[version] = one
	return one, nil
}

// connect makes a connection. What is to be said when the broker is away, the runtime's own says.
func (c *Cells) connect(account *Account) (*cell, error) {
	opts := c.opts
	opts.Account = account
	b, err := Connect(c.url, zap.NewNop(), opts)
	if err != nil {
		return nil, err
	}
	return &cell{Broker: b, account: account}, nil
}

// within calls do with where a version's assets are.
func (c *Cells) within(ctx context.Context, version string, do func(*Broker) error) error {
	if c.account == nil {
		return do(c.home)
	}
	c.mu.Lock()
	one := c.open[version]
	c.mu.Unlock()
	if one != nil {
		return do(one.Broker)
	}
	kept, err := c.kept(ctx, version)
	if err != nil {
		return err
	}
	if kept.Seed == "" {
		return do(c.home)
	}
	account, err := parseAccount([]byte(kept.Seed))
	if err != nil {
		return fmt.Errorf("what is kept of the account of version %s is %w", version, err)
	}
	if one, err = c.connect(account); err != nil {
		return err
	}
	defer one.Close()
	return do(one.Broker)
}

// Apply implements assets.Broker.
func (c *Cells) Apply(ctx context.Context, p *plan.Plan, keys assets.Keys) (credentials string, err error) {
	if c.account == nil {
		return "", c.home.Apply(ctx, p)
	}
	if keys.Account == "" {
		kept, err := c.kept(ctx, p.Version)
		if err != nil {
			return "", err
		}
		keys.Account = kept.Seed
	}
	if keys.Account == "" {
		if err := c.home.Apply(ctx, p); err != nil {
			return "", err
		}
		return c.account.Credentials(p, keys.User)
	}
	one, err := c.enter(p.Version, keys.Account)
	if err != nil {
		return "", err
	}
	// It is known before anything is in it.
	if err := c.keep(ctx, p.Version, keptAccount{Seed: keys.Account}); err != nil {
		return "", err
	}
	if err := one.Apply(ctx, p); err != nil {
		return "", err
	}
	if err := c.moveIn(ctx, p.Version, one.Broker); err != nil {
		return "", err
	}
	return one.account.Credentials(p, keys.User)
}

// Release implements assets.Broker.
func (c *Cells) Release(ctx context.Context, version string) error {
	if c.account == nil {
		return nil
	}
	kept, err := c.kept(ctx, version)
	if err != nil {
		return err
	}
	if kept.Seed != "" && !kept.Released {
		kept.Released = true
		if err := c.keep(ctx, version, kept); err != nil {
			return err
		}
	}
	c.leave(version)
	return nil
}

// leave closes the connection to a version's account.
func (c *Cells) leave(version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.open[version]; one != nil {
		one.Close()
		delete(c.open, version)
	}
}

// Remove implements assets.Broker. The account itself is removed by whoever has made it.
func (c *Cells) Remove(ctx context.Context, version string) (int, error) {
	if c.account == nil {
		return c.home.Remove(ctx, version)
	}
	removed := 0
	err := c.within(ctx, version, func(b *Broker) (err error) {
		removed, err = b.Remove(ctx, version)
		return err
	})
	if err != nil {
		return removed, err
	}
	before, err := c.home.Remove(ctx, version) // what had not moved yet
	if removed += before; err != nil {
		return removed, err
	}
	keys, err := c.bucket(ctx)
	if err != nil {
		return removed, err
	}
	err = c.home.call(ctx, func(ctx context.Context) error {
		err := keys.Purge(ctx, version)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return removed, c.lost(err, "forget the account of version %s", version)
	}
	c.leave(version)
	return removed, nil
}

// Count implements assets.Broker.
func (c *Cells) Count(ctx context.Context, version string) (count assets.Messages, err error) {
	err = c.within(ctx, version, func(b *Broker) (err error) {
		count, err = b.Count(ctx, version)
		return err
	})
	return count, err
}

// Discard implements assets.Broker.
func (c *Cells) Discard(ctx context.Context, version string) (dropped int64, err error) {
	err = c.within(ctx, version, func(b *Broker) (err error) {
		dropped, err = b.Discard(ctx, version)
		return err
	})
	return dropped, err
}

// Command implements assets.Broker.
func (c *Cells) Command(ctx context.Context, version, command string) (reports []assets.Report, err error) {
	err = c.within(ctx, version, func(b *Broker) (err error) {
		reports, err = b.Command(ctx, version, command)
		return err
	})
	return reports, err
}
