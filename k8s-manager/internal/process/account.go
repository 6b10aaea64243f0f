package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/konstellation-io/kre/kit/log"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// A version has a NATS account of its own, and its processes a user of it, another one at each start. A version that ran before
// there were such accounts is in the runtime's, until it is started when nothing of it is stored there.

// accountName is what the account of the version is called, for people who look at the broker.
func (v *version) accountName() string { return v.rt.name + "/" + v.name }

// hasAccount tells whether the version has an account of its own.
func (v *version) hasAccount() (bool, error) { return isThere(v.path(accountSeedFile)) }

func isThere(file string) (bool, error) {
	_, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// openAccount gives the version, of which nothing runs, an account of its own, unless messages of it are still in the runtime's.
func (v *version) openAccount(ctx context.Context) error {
	has, err := v.hasAccount()
	if err != nil {
		return fmt.Errorf("look for the version's NATS account: %w", err)
	}
	v.rt.mu.Lock()
	ran := v.kept.RanDigest != ""
	v.rt.mu.Unlock()
	if !has && ran {
		api, err := v.rt.runtimeAPI()
		if err != nil {
			return err
		}
		stored, err := api.Count(ctx, v.name)
		if err != nil {
			return fmt.Errorf("count the stored messages: %w", err)
		}
		if stored > 0 {
			v.log.Info("the version stays in the runtime's NATS account, where messages of it are stored")
			return nil
		}
	}
	return v.ensureAccount(ctx)
}

// ensureAccount makes the broker know the version's account.
func (v *version) ensureAccount(ctx context.Context) error {
	v.rt.mu.Lock()
	v.assured = true // if the broker comes back meanwhile, it is unset again
	v.rt.mu.Unlock()
	err := v.rt.c.o.Accounts.Ensure(ctx, v.accountName(), v.dir)
	if err == nil {
		return nil
	}
	v.rt.mu.Lock()
	v.assured = false
	v.rt.mu.Unlock()
	return fmt.Errorf("make the version's NATS account: %w", err)
}

// keepAccount makes the broker know the account of a version that runs, which it may have forgotten. What runs goes on
// meanwhile.
func (v *version) keepAccount(ctx context.Context) {
	v.rt.mu.Lock()
	assured := v.assured
	v.rt.mu.Unlock()
	if assured {
		return
	}
	has, err := v.hasAccount()
	if err == nil && has {
		err = v.ensureAccount(ctx)
	}
	if err != nil && ctx.Err() == nil {
		v.log.Info("the broker has not been told again of the version's account; it is when it is back", log.Error(err))
	}
}

// keys are those by which the version is let in.
func (v *version) keys() (*runtimev1.BrokerKeys, error) {
	keys := new(runtimev1.BrokerKeys)
	has, err := v.hasAccount()
	if err == nil && has {
		var seed []byte
		seed, err = os.ReadFile(v.path(accountSeedFile))
		keys.AccountSeed = string(seed)
	}
	if err == nil {
		keys.UserSeed, err = v.rt.c.o.Accounts.User(v.path(userSeedFile))
	}
	if err != nil {
		return nil, fmt.Errorf("find the keys of the version at the broker: %w", err)
	}
	return keys, nil
}

// letOut ends the credentials of processes that have ended, and forgets them.
func (v *version) letOut(ctx context.Context) error {
	has, err := v.hasAccount()
	if err != nil {
		return fmt.Errorf("look for the version's NATS account: %w", err)
	}
	name, dir := v.accountName(), v.dir
	if !has {
		name, dir = v.rt.name, v.rt.dir
	}
	// The key of who is let out is in both; where the processes were started by a program of before, only in the second.
	for _, file := range []string{userSeedFile, credsFile} {
		if err := v.rt.c.o.Accounts.Revoke(ctx, name, dir, v.path(file)); err != nil {
			return fmt.Errorf("end the version's NATS credentials: %w", err)
		}
	}
	return nil
}

// removeAccount removes the version's own account.
func (v *version) removeAccount(ctx context.Context) error {
	if err := v.rt.c.o.Accounts.Remove(ctx, v.accountName(), v.dir); err != nil {
		return fmt.Errorf("remove the version's NATS account: %w", err)
	}
	return nil
}
