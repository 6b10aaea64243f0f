package broker

import (
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/plan"
)

// Account is the key of a NATS account, the runtime's or a version's: whoever has it may do everything in the account, and lets
// others in.
type Account struct {
	key nkeys.KeyPair
	id  string
}

// ReadAccount reads the key from the file that holds its seed.
func ReadAccount(file string) (*Account, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the seed of the NATS account: %w", err)
	}
	account, err := parseAccount(content)
	if err != nil {
		return nil, fmt.Errorf("%s holds %w", file, err)
	}
	return account, nil
}

// parseAccount reads a seed. Its errors tell what it is.
func parseAccount(seed []byte) (*Account, error) {
	key, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		return nil, fmt.Errorf("no seed of a NATS account: %w", err)
	}
	id, err := key.PublicKey()
	if err != nil || !nkeys.IsValidPublicAccountKey(id) {
		return nil, errors.New("the seed of somebody else than a NATS account")
	}
	return &Account{key: key, id: id}, nil
}

// login lets this service in as a user that may do everything in the account.
func (a *Account) login() (nats.Option, error) {
	user, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("make a user of the NATS account: %w", err)
	}
	id, err := user.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("make a user of the NATS account: %w", err)
	}
	// Each time anew: what is older than the last revocation is not let in.
	token := func() (string, error) {
		claims := jwt.NewUserClaims(id)
		claims.Name = "runtime-api"
		return claims.Encode(a.key)
	}
	return nats.UserJWT(token, user.Sign), nil
}

// Credentials is a credentials file for the processes of a version, who are the user with that seed: they may do what
// runner-sdk/spec/protocol.md tells under "Permissions", with this version's names, and nothing else. The broker asks them to sign:
// who only overhears the token, at a port that was the broker's say, cannot use it. fault.Invalid: the seed is none.
func (a *Account) Credentials(p *plan.Plan, seed string) (string, error) {
	user, err := nkeys.ParseDecoratedUserNKey([]byte(seed))
	if err != nil {
		return "", fault.New(fault.Invalid, "broker_keys.user_seed is no seed of a NATS user")
	}
	id, err := user.PublicKey()
	if err != nil {
		return "", fmt.Errorf("make the NATS user of version %s: %w", p.Version, err)
	}
	claims := jwt.NewUserClaims(id)
	claims.Name = "version " + p.Version
	claims.Pub.Allow.Add("kre."+p.Version+".>", p.Entrypoint.Inbox+".>")
	claims.Sub.Allow.Add(p.Entrypoint.Inbox+".>", p.Entrypoint.ReplyTo+".*", p.Entrypoint.Control, plan.Questions(p.Version)+".*")
	for _, stream := range p.Streams {
		if stream.Retention != plan.Interest {
			continue
		}
		claims.Pub.Allow.Add("$JS.API.CONSUMER.INFO."+stream.Name+".*", "$JS.API.CONSUMER.MSG.NEXT."+stream.Name+".*",
			"$JS.ACK."+stream.Name+".>", "$JS.API.STREAM.MSG.GET."+stream.Name, "$JS.API.STREAM.INFO."+stream.Name)
	}
	for _, bucket := range p.Buckets {
		claims.Pub.Allow.Add("$JS.API.STREAM.MSG.GET."+bucketPrefix+bucket.Name, "$KV."+bucket.Name+".>")
	}
	token, err := claims.Encode(a.key)
	if err != nil {
		return "", fmt.Errorf("make the NATS user of version %s: %w", p.Version, err)
	}
	file, err := jwt.FormatUserConfig(token, []byte(seed))
	if err != nil {
		return "", fmt.Errorf("write the NATS credentials of version %s: %w", p.Version, err)
	}
	return string(file), nil
}
