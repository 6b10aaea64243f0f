package spec_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/plan"
)

// operator makes the tokens of a broker in operator mode: one account, that of a runtime.
type operator struct {
	t       *testing.T
	account nkeys.KeyPair
}

// newOperator writes the configuration of its broker to folder.
func newOperator(t *testing.T, folder string) *operator {
	t.Helper()
	keys, keysPublic := newKeys(t, nkeys.CreateOperator)
	_, systemPublic := newKeys(t, nkeys.CreateAccount)
	account, accountPublic := newKeys(t, nkeys.CreateAccount)

	claims := jwt.NewOperatorClaims(keysPublic)
	claims.SystemAccount = systemPublic
	operatorToken, err := claims.Encode(keys)
	require.NoError(t, err)
	systemToken, err := jwt.NewAccountClaims(systemPublic).Encode(keys)
	require.NoError(t, err)
	runtime := jwt.NewAccountClaims(accountPublic)
	runtime.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
	}
	runtimeToken, err := runtime.Encode(keys)
	require.NoError(t, err)
	config := fmt.Sprintf(`
operator: %s
system_account: %s
resolver: MEMORY
resolver_preload: {%s: %s, %s: %s}
max_control_line: 1MB
jetstream { store_dir: %q }
`, operatorToken, systemPublic, systemPublic, systemToken, accountPublic, runtimeToken, folder)
	require.NoError(t, os.WriteFile(filepath.Join(folder, brokerConfig), []byte(config), 0o600))
	return &operator{t: t, account: account}
}

func newKeys(t *testing.T, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
	t.Helper()
	keys, err := create()
	require.NoError(t, err)
	public, err := keys.PublicKey()
	require.NoError(t, err)
	return keys, public
}

// credentials writes the file of a user who may do what change says, and returns its path.
func (o *operator) credentials(change func(*jwt.UserClaims)) string {
	o.t.Helper()
	user, public := newKeys(o.t, nkeys.CreateUser)
	claims := jwt.NewUserClaims(public)
	change(claims)
	token, err := claims.Encode(o.account)
	require.NoError(o.t, err)
	seed, err := user.Seed()
	require.NoError(o.t, err)
	content, err := jwt.FormatUserConfig(token, seed)
	require.NoError(o.t, err)
	path := filepath.Join(o.t.TempDir(), "user.creds")
	require.NoError(o.t, os.WriteFile(path, content, 0o600))
	return path
}

// everything is what the test itself may do.
func everything(*jwt.UserClaims) {}

// permitted is what the processes of a version may do: the list of protocol.md, "Permissions".
func permitted(p *plan.Plan) func(*jwt.UserClaims) {
	inbox, replyTo, control, questions := p.Entrypoint.Inbox, p.Entrypoint.ReplyTo, p.Entrypoint.Control, p.Entrypoint.Workflows[0].Questions
	starts := p.Buckets[0].Name
	publish := []string{"kre." + p.Version + ".>", inbox + ".>", "$KV." + starts + ".>", "$JS.API.STREAM.MSG.GET.KV_" + starts}
	for _, s := range p.Streams {
		if s.Retention != plan.Interest {
			continue // of the dead letters, which are only written
		}
		publish = append(publish, "$JS.API.CONSUMER.INFO."+s.Name+".*", "$JS.API.CONSUMER.MSG.NEXT."+s.Name+".*", "$JS.ACK."+s.Name+".>",
			"$JS.API.STREAM.MSG.GET."+s.Name, "$JS.API.STREAM.INFO."+s.Name)
	}
	return func(claims *jwt.UserClaims) {
		claims.Pub.Allow.Add(publish...)
		claims.Sub.Allow.Add(inbox+".>", replyTo+".*", control, questions)
	}
}

// narrow gives the plan what a version with credentials of its own has.
func narrow(p *plan.Plan) {
	inbox := "_INBOX." + p.Version
	p.Entrypoint.Inbox, p.Entrypoint.Control, p.Entrypoint.Proto = inbox, "kre."+p.Version+"._control.entrypoint", ""
	for i := range p.Nodes {
		node := &p.Nodes[i]
		node.Inbox = inbox
		node.Status = strings.Join([]string{"kre", p.Version, "status", node.Workflow, node.ID}, ".")
	}
}
