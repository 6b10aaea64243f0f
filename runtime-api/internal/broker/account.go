package broker

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/konstellation-io/kre/krt/plan"
)

// Account is the key of the runtime's NATS account: whoever has it may do everything in the account, and lets others in.
type Account struct {
	key nkeys.KeyPair
	id  string
	raw []byte
}

// ReadAccount reads the key from the file that holds its seed.
func ReadAccount(file string) (*Account, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the seed of the NATS account: %w", err)
	}
	key, err := nkeys.ParseDecoratedNKey(content)
	if err != nil {
		return nil, fmt.Errorf("%s holds no seed of a NATS account: %w", file, err)
	}
	id, err := key.PublicKey()
	if err != nil || !nkeys.IsValidPublicAccountKey(id) {
		return nil, fmt.Errorf("%s holds the seed of somebody else than a NATS account", file)
	}
	raw, err := key.Seed()
	if err != nil {
		return nil, fmt.Errorf("read the seed of the NATS account: %w", err)
	}
	return &Account{key: key, id: id, raw: raw}, nil
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
	claims := jwt.NewUserClaims(id)
	claims.Name = "runtime-api"
	token, err := claims.Encode(a.key)
	if err != nil {
		return nil, fmt.Errorf("make a user of the NATS account: %w", err)
	}
	return nats.UserJWT(func() (string, error) { return token, nil }, user.Sign), nil
}

// controlAnswer is how long an entrypoint may take to answer a command.
const controlAnswer = 10 * time.Second

// Credentials is a credentials file for the processes of a version: they may do what runner-sdk/spec/protocol.md tells under
// "Permissions", with this version's names, and nothing else. The broker asks the bearer of its token for no signature, so that
// no SDK needs cryptography. The user is the same whenever it is asked for.
func (a *Account) Credentials(p *plan.Plan) (string, error) {
	mac := hmac.New(sha256.New, a.raw)
	mac.Write([]byte("version " + p.Version))
	user, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, mac.Sum(nil))
	if err != nil {
		return "", fmt.Errorf("make the NATS user of version %s: %w", p.Version, err)
	}
	id, err := user.PublicKey()
	if err != nil {
		return "", fmt.Errorf("make the NATS user of version %s: %w", p.Version, err)
	}
	claims := jwt.NewUserClaims(id)
	claims.Name = "version " + p.Version
	claims.BearerToken = true
	claims.Resp = &jwt.ResponsePermission{MaxMsgs: 1, Expires: controlAnswer}
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
	seed, err := user.Seed()
	if err != nil {
		return "", fmt.Errorf("make the NATS user of version %s: %w", p.Version, err)
	}
	file, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		return "", fmt.Errorf("write the NATS credentials of version %s: %w", p.Version, err)
	}
	return string(file), nil
}
