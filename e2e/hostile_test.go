package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// TestAHostileNodeStaysInItsVersion plays a node whose author means harm: it has the credentials that every node of its version
// has, and speaks the broker's protocol itself. Nothing of what it tries may reach another version, the runtime, or another runtime.
// What it tries and what answers is logged: `go test -v -run HostileNode`.
func TestAHostileNodeStaysInItsVersion(t *testing.T) {
	t.Parallel()
	engine := harness.NewEngine(t)
	engine.Runtime(t, "mine")
	engine.Runtime(t, "other")
	for _, v := range [][2]string{{"mine", "greeting-v1"}, {"mine", "greeting-v2"}, {"other", "greeting-v1"}} {
		engine.MustUpload(t, v[0], harness.Greeting(t, v[1]))
		engine.Set(t, v[0], v[1], map[string]string{"GREETING": "Hello"})
		engine.MustStart(t, v[0], v[1])
	}
	h := newHostile(t, engine)
	t.Run("what a node finds in its environment", h.environment)
	t.Run("subjects that are somebody else's", h.publish)
	t.Run("listening to somebody else", h.listen)
	t.Run("answers to somebody else", h.redirect)
	t.Run("messages to somebody else", h.deliver)
	t.Run("streams and consumers that reach out", h.reachOut)
	t.Run("credentials of one's own making", h.forge)
	h.checkOthers(t)
	t.Run("credentials of a version that has stopped", h.stopped)
	t.Run("credentials of a version that is gone", h.deleted)
	h.checkOthers(t)
}

// hostile is who has a node's credentials, and those whom it must not reach.
type hostile struct {
	engine *harness.Engine
	env    map[string]string // of the node
	url    string
	creds  []byte
	mark   string // part of whatever it sends
	conn   *nats.Conn
	denied chan error

	own    *observer
	others []*observer
}

// observer sees everything in an account.
type observer struct {
	name   string
	conn   *nats.Conn
	js     jetstream.JetStream
	busy   bool // its streams come and grow by themselves
	before map[string]jetstream.StreamInfo

	mu   sync.Mutex
	seen []string // subjects of messages with the mark
}

func newHostile(t *testing.T, engine *harness.Engine) *hostile {
	t.Helper()
	h := &hostile{engine: engine, mark: "mark" + rand.Text(), denied: make(chan error, 1000)}
	h.env = nodeEnvironment(t, engine, filepath.Join("runtimes", "mine", "versions", "greeting-v1"))
	h.url = h.env["KRE_NATS_URL"]
	var err error
	h.creds, err = os.ReadFile(h.env["KRE_NATS_CREDS"])
	require.NoError(t, err)
	h.conn = h.enter(t, h.creds)
	h.own = h.observe(t, "its own account", true, "runtimes", "mine", "versions", "greeting-v1")
	h.others = []*observer{
		h.observe(t, "a sibling version", false, "runtimes", "mine", "versions", "greeting-v2"),
		h.observe(t, "its runtime", true, "runtimes", "mine"),
		h.observe(t, "a version of another runtime", false, "runtimes", "other", "versions", "greeting-v1"),
		h.observe(t, "another runtime", true, "runtimes", "other"),
	}
	return h
}

// nodeEnvironment is the environment of a node of the version in a folder of the engine's data.
func nodeEnvironment(t *testing.T, engine *harness.Engine, folder string) map[string]string {
	t.Helper()
	for _, p := range engine.Processes("greet") {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
		require.NoError(t, err)
		if !bytes.Contains(content, []byte(filepath.Join(engine.Data, folder))) {
			continue
		}
		env := make(map[string]string)
		for _, pair := range strings.Split(strings.TrimSuffix(string(content), "\x00"), "\x00") {
			key, value, _ := strings.Cut(pair, "=")
			env[key] = value
		}
		return env
	}
	require.FailNow(t, "no node runs")
	return nil
}

// enter connects with a node's credentials. It does not come back by itself.
func (h *hostile) enter(t *testing.T, creds []byte) *nats.Conn {
	t.Helper()
	conn, err := h.tryEnter(t, creds)
	require.NoError(t, err)
	return conn
}

func (h *hostile) tryEnter(t *testing.T, creds []byte) (*nats.Conn, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "creds")
	require.NoError(t, os.WriteFile(file, creds, 0o600))
	conn, err := nats.Connect(h.url, nats.UserCredentials(file), nats.CustomInboxPrefix("_INBOX.greeting-v1"), nats.NoReconnect(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { h.denied <- err }))
	if err == nil {
		t.Cleanup(conn.Close)
	}
	return conn, err
}

// observe listens to everything in an account.
func (h *hostile) observe(t *testing.T, name string, busy bool, folder ...string) *observer {
	t.Helper()
	conn := h.engine.Administrator(t, h.url, folder...)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	o := &observer{name: name, conn: conn, js: js, busy: busy}
	_, err = conn.Subscribe(">", func(m *nats.Msg) {
		if strings.Contains(m.Subject+" "+m.Reply+" "+fmt.Sprint(m.Header)+" "+string(m.Data), h.mark) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.seen = append(o.seen, m.Subject)
		}
	})
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	o.remember(t)
	return o
}

// remember keeps what is in the account, when nothing of it is under way.
func (o *observer) remember(t *testing.T) {
	t.Helper()
	if !o.busy {
		harness.Broker{JetStream: o.js}.WaitIdle(t)
	}
	o.before = o.streams(t)
}

func (o *observer) streams(t *testing.T) map[string]jetstream.StreamInfo {
	t.Helper()
	found := make(map[string]jetstream.StreamInfo)
	list := o.js.ListStreams(t.Context())
	for info := range list.Info() {
		found[info.Config.Name] = *info
	}
	require.NoError(t, list.Err())
	return found
}

func (o *observer) saw() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.seen...)
}

// checkOthers requires that nothing has reached anybody else, and that all of them work.
func (h *hostile) checkOthers(t *testing.T) {
	t.Helper()
	for _, o := range h.others {
		require.Empty(t, o.saw(), o.name)
		after := o.streams(t)
		for name, before := range o.before {
			now, there := after[name]
			require.Truef(t, there, "%s: stream %s is gone", o.name, name)
			require.Equalf(t, before.Config, now.Config, "%s: stream %s", o.name, name)
			if o.busy {
				require.GreaterOrEqual(t, now.State.LastSeq, before.State.LastSeq)
				continue
			}
			require.Equalf(t, before.State.LastSeq, now.State.LastSeq, "%s: something is stored in %s", o.name, name)
			require.Equalf(t, before.State.Msgs, now.State.Msgs, "%s: something is missing in %s", o.name, name)
		}
		if !o.busy {
			require.Lenf(t, after, len(o.before), "%s", o.name)
		}
	}
	for _, v := range [][2]string{{"mine", "greeting-v2"}, {"other", "greeting-v1"}} {
		version, err := h.engine.Get(t.Context(), v[0], v[1])
		require.NoError(t, err)
		require.Equal(t, adminv1.Version_STARTED, version.GetState())
		answer, err := greet(t.Context(), version.GetHttpAddress(), `{"name":"Ada"}`)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.Status, answer.Body)
		_, err = h.engine.Versions.SearchLogs(t.Context(), &adminv1.SearchLogsRequest{Parent: harness.Name(v[0], v[1])})
		require.NoError(t, err)
	}
	for _, o := range h.others { // they have answered a call since
		o.remember(t)
	}
}

// environment is what a node is told beside its own: nothing that opens anything.
func (h *hostile) environment(t *testing.T) {
	var secrets []string
	for _, name := range []string{"service.token", "admin.token"} {
		content, err := os.ReadFile(filepath.Join(h.engine.Data, "secrets", name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		secrets = append(secrets, strings.TrimSpace(string(content)))
	}
	require.NotEmpty(t, secrets)
	for key, value := range h.env {
		for _, secret := range secrets {
			require.NotContainsf(t, value, secret, "%s", key)
		}
		require.Falsef(t, strings.Contains(key, "S3") || strings.Contains(key, "MONGO") || strings.Contains(key, "TOKEN") ||
			strings.Contains(key, "SEED"), "a node has %s", key)
	}
	t.Logf("%d variables, none of which opens anything but its own account", len(h.env))
}

// refused requires that the broker denies what was just sent.
func (h *hostile) refused(t *testing.T, what string) {
	t.Helper()
	require.NoError(t, h.conn.Flush())
	select {
	case err := <-h.denied:
		require.ErrorIs(t, err, nats.ErrPermissionViolation, what)
		t.Logf("%s: denied", what)
	case <-time.After(harness.Patience):
		require.FailNow(t, "not denied: "+what)
	}
}

// somebodyElses are subjects of the platform, of a sibling, of another runtime and of the broker itself.
func (h *hostile) somebodyElses() []string {
	return []string{
		"kre.greeting-v2.greet.entry", "kre.greeting-v2.greet.from.prepare.out", "kre.greeting-v2._reply.x",
		"kre.greeting-v2._control.entrypoint", "kre.greeting-v2._status.greet.greet", "kre.greeting-v2._dead.greet.greet",
		"kre.greeting-v2._questions.greet", "_INBOX.greeting-v2.x", "_INBOX.x", "logs.greeting-v2.greet.greet-0", "logs.greeting-v1.greet.greet-0",
		"$KV.accounts.greeting-v2", "$KV.log_positions.greeting-v2", "$KV.starts_greeting-v2.x",
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.CREATE." + h.mark, "$JS.API.STREAM.UPDATE.logs",
		"$JS.API.STREAM.DELETE.logs", "$JS.API.STREAM.PURGE.logs", "$JS.API.STREAM.DELETE.entry_greeting-v2_greet",
		"$JS.API.STREAM.DELETE.entry_greeting-v1_greet", "$JS.API.STREAM.MSG.DELETE.logs", "$JS.API.STREAM.MSG.GET.logs",
		"$JS.API.DIRECT.GET.logs", "$JS.API.DIRECT.GET.KV_accounts.$KV.accounts.greeting-v2", "$JS.API.STREAM.MSG.GET.KV_accounts",
		"$JS.API.STREAM.SNAPSHOT.logs", "$JS.API.STREAM.RESTORE." + h.mark, "$JS.API.CONSUMER.CREATE.logs",
		"$JS.API.CONSUMER.DURABLE.CREATE.logs." + h.mark, "$JS.API.CONSUMER.DELETE.entry_greeting-v2_greet.prepare",
		"$JS.API.CONSUMER.MSG.NEXT.entry_greeting-v2_greet.prepare", "$JS.ACK.entry_greeting-v2_greet.prepare.1.1.1.1.1",
		"$JS.API.CONSUMER.PAUSE.entry_greeting-v1_greet.prepare", "$JS.API.CONSUMER.UNPIN.entry_greeting-v1_greet.prepare",
		"$JS.API.ACCOUNT.PURGE.x", "$JS.API.META.LEADER.STEPDOWN", "$JS.API.SERVER.REMOVE", "$JSC.R.x", "$JS.FC.x", "$JS.EVENT.ADVISORY.x",
		"$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.CLAIMS.DELETE", "$SYS.REQ.CLAIMS.LIST", "$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.CONNZ",
		"$SYS.REQ.SERVER.PING.JSZ", "$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.USER.INFO", "$SYS.REQ.USER.AUTH", "$SYS.ACCOUNT.x.CLAIMS.UPDATE",
		"$SYS.REQ.SERVER.x.KICK", "$SYS.REQ.SERVER.x.RELOAD", "$G." + h.mark, "$SRV.PING", "$NRG.V.x", "_GR_.x", "$GR.x", "$LDS.x", "_R_.x",
		h.mark,
	}
}

func (h *hostile) publish(t *testing.T) {
	for _, subject := range h.somebodyElses() {
		require.NoError(t, h.conn.PublishMsg(h.message(subject)))
		h.refused(t, "publish to "+subject)
	}
	// What it may hear says where to answer; it has no leave to do so because of that.
	inbox := "_INBOX.greeting-v1." + h.mark
	heard := make(chan *nats.Msg, 1)
	_, err := h.conn.ChanSubscribe(inbox, heard)
	require.NoError(t, err)
	for _, subject := range h.somebodyElses() {
		message := h.message(inbox)
		message.Reply = subject
		require.NoError(t, h.conn.PublishMsg(message))
		select {
		case back := <-heard:
			require.NoError(t, back.RespondMsg(h.message(subject)))
		case err := <-h.denied: // some the broker takes from nobody as the place of an answer
			h.denied <- err
		case <-time.After(harness.Patience):
			require.FailNow(t, "neither denied nor delivered: a message that is to be answered to "+subject)
		}
		h.refused(t, "answer to "+subject+" after a message to itself")
	}
}

func (h *hostile) message(subject string) *nats.Msg {
	return &nats.Msg{Subject: subject, Header: nats.Header{"Mark": {h.mark}}}
}

func (h *hostile) listen(t *testing.T) {
	for _, subject := range []string{
		">", "*", "*.>", "kre.>", "kre.*.>", "kre.greeting-v2.>", "kre.*.greet.entry", "_INBOX.>", "_INBOX.*", "_INBOX.*.>", "_INBOX.greeting-v2.>",
		"logs.>", "$KV.>", "$KV.accounts.>", "$JS.>", "$JS.API.>", "$JS.API.STREAM.MSG.GET.>", "$JS.EVENT.>", "$JS.ACK.>", "$SYS.>", "$SYS.REQ.>",
		"$SYS.ACCOUNT.>", "$SRV.>", "$G.>", "kre.greeting-v1.>", "kre.greeting-v1._dead.>", "_R_.>",
	} {
		_, err := h.conn.SubscribeSync(subject)
		require.NoError(t, err)
		h.refused(t, "listen to "+subject)
		_, err = h.conn.QueueSubscribeSync(subject, "queue")
		require.NoError(t, err)
		h.refused(t, "share "+subject)
	}
}

// reached tries until something has come to a subject of the version's own account. That is as far as it gets: who sees nothing of
// it is checked in the end.
func (h *hostile) reached(t *testing.T, subject, what string, try func()) {
	t.Helper()
	there, err := h.own.conn.SubscribeSync(subject)
	require.NoError(t, err)
	defer there.Unsubscribe() //nolint:errcheck // the connection is closed in the end
	require.NoError(t, h.own.conn.Flush())
	harness.Eventually(t, "it comes to "+subject+" of its own account", func() (bool, string) {
		try()
		_, err := there.NextMsg(100 * time.Millisecond)
		return err == nil, fmt.Sprint(err)
	})
	t.Logf("%s: ends in its own account", what)
}

// harm are subjects at which something from anybody would do harm.
func harm() []string {
	return []string{
		"kre.greeting-v2.greet.entry", "kre.greeting-v2._control.entrypoint", "kre.greeting-v2._status.greet.greet",
		"logs.greeting-v2.greet.greet-0", "_INBOX.greeting-v2.x", "$KV.accounts.greeting-v2",
		"$JS.API.STREAM.DELETE.logs", "$JS.API.STREAM.PURGE.logs", "$JS.API.STREAM.DELETE.KV_accounts",
		"$JS.API.STREAM.DELETE.entry_greeting-v2_greet", "$JS.API.STREAM.PURGE.entry_greeting-v2_greet",
		"$JS.API.CONSUMER.DELETE.entry_greeting-v2_greet.prepare",
		"$SYS.REQ.CLAIMS.DELETE", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.PING.CONNZ",
	}
}

// redirect has the broker answer questions that are allowed to where others listen.
func (h *hostile) redirect(t *testing.T) {
	const stream, consumer = "entry_greeting-v1_greet", "prepare"
	for question, body := range map[string]string{
		"$JS.API.STREAM.INFO." + stream:                              "",
		"$JS.API.CONSUMER.INFO." + stream + "." + consumer:           "",
		"$JS.API.STREAM.MSG.GET." + stream:                           `{"seq":1}`,
		"$JS.API.STREAM.MSG.GET.KV_starts_greeting-v1":               `{"seq":1}`,
		"$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer:       `{"batch":1,"no_wait":true}`, // without a message, an answer without a body
		"$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer + " ": `{"batch":1,"expires":1000000}`,
	} {
		question = strings.TrimSpace(question)
		for _, to := range harm() {
			h.reached(t, to, question+" "+body+" answered to "+to, func() {
				require.NoError(t, h.conn.PublishMsg(&nats.Msg{Subject: question, Reply: to, Data: []byte(body)}))
			})
		}
	}
	// That these are no harmless tries: in its own account a node can do harm with them.
	_, err := h.own.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "victim", Subjects: []string{"victim." + h.mark}})
	require.NoError(t, err)
	harness.Eventually(t, "a stream of its own account is gone", func() (bool, string) {
		require.NoError(t, h.conn.PublishMsg(&nats.Msg{
			Subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer, Reply: "$JS.API.STREAM.DELETE.victim",
			Data: []byte(`{"batch":1,"no_wait":true}`),
		}))
		_, err := h.own.js.Stream(t.Context(), "victim")
		return errors.Is(err, jetstream.ErrStreamNotFound), fmt.Sprint(err)
	})
	t.Log("a stream of its own account, deleted in that way: gone; the account is as far as it gets")
	traced := h.message("kre.greeting-v1.greet.entry")
	traced.Header["Nats-Trace-Dest"] = []string{"logs.greeting-v2." + h.mark}
	require.NoError(t, h.conn.PublishMsg(traced))
	h.refused(t, "a message whose trace goes to logs.greeting-v2")
}

// next stores a message of its own, and has the broker deliver it to any subject.
func (h *hostile) next(t *testing.T, to string, body []byte) {
	t.Helper()
	message := h.message("kre.greeting-v1.greet.entry")
	message.Data = body
	for range 5 { // the node takes some of them
		require.NoError(t, h.conn.PublishMsg(message))
	}
	request, err := json.Marshal(map[string]any{"batch": 5, "expires": time.Second})
	require.NoError(t, err)
	require.NoError(t, h.conn.PublishMsg(&nats.Msg{Subject: "$JS.API.CONSUMER.MSG.NEXT.entry_greeting-v1_greet.prepare", Reply: to, Data: request}))
	require.NoError(t, h.conn.Flush())
}

// deliver has the broker deliver messages of its own to where others listen.
func (h *hostile) deliver(t *testing.T) {
	for _, to := range harm() {
		h.reached(t, to, "deliver to "+to, func() { h.next(t, to, nil) })
	}
}

// reachOut makes streams and consumers in its own account, by messages that are delivered to the broker's API, that would take from
// others or give to them.
func (h *hostile) reachOut(t *testing.T) {
	prefix := "$JS.API"
	for name, config := range map[string]map[string]any{
		"mirrors": {"mirror": map[string]any{"name": "logs", "external": map[string]any{"api": prefix, "deliver": "logs." + h.mark}}},
		"sources": {"sources": []map[string]any{{"name": "entry_greeting-v2_greet", "external": map[string]any{"api": "$JS.greeting-v2.API"}}}},
		"takes":   {"subjects": []string{"logs.>", "kre.greeting-v2.>"}},
		"repeats": {"subjects": []string{"own." + h.mark}, "republish": map[string]any{"src": ">", "dest": "logs.greeting-v2." + h.mark}},
	} {
		config["name"], config["storage"] = name, "file"
		body, err := json.Marshal(config)
		require.NoError(t, err)
		to := "$JS.API.STREAM.CREATE." + name
		h.reached(t, to, "a stream that "+name, func() { h.next(t, to, body) })
	}
	pushes, err := json.Marshal(map[string]any{"stream_name": "entry_greeting-v1_greet", "config": map[string]any{
		"durable_name": "push", "deliver_subject": "kre.greeting-v2.greet.entry", "ack_policy": "none", "filter_subject": "kre.greeting-v1.greet.entry",
	}})
	require.NoError(t, err)
	to := "$JS.API.CONSUMER.DURABLE.CREATE.entry_greeting-v1_greet.push"
	h.reached(t, to, "a consumer that pushes to a sibling's entry", func() { h.next(t, to, pushes) })

	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	for _, name := range []string{"mirrors", "sources", "takes"} {
		stream, err := h.own.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Logf("a stream that %s: refused by the broker", name)
			continue
		}
		require.NoError(t, err)
		// What it delivered itself to such subjects may be in it. Of others there is nothing.
		for sequence := stream.CachedInfo().State.FirstSeq; sequence > 0 && sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
			message, err := stream.GetMsg(ctx, sequence)
			require.NoError(t, err)
			require.Contains(t, fmt.Sprint(message.Header, string(message.Data)), h.mark, "somebody else's message")
		}
		t.Logf("a stream that %s: holds %d messages, none of somebody else's", name, stream.CachedInfo().State.Msgs)
	}
}

// forge tries to be let in as somebody else.
func (h *hostile) forge(t *testing.T) {
	token, err := jwt.ParseDecoratedJWT(h.creds)
	require.NoError(t, err)
	user, err := nkeys.ParseDecoratedUserNKey(h.creds)
	require.NoError(t, err)
	claims, err := jwt.DecodeUserClaims(token)
	require.NoError(t, err)
	siblings, err := os.ReadFile(filepath.Join(h.engine.Data, "runtimes", "mine", "versions", "greeting-v2", "nats.creds"))
	require.NoError(t, err)
	siblingToken, err := jwt.ParseDecoratedJWT(siblings)
	require.NoError(t, err)
	sibling, err := jwt.DecodeUserClaims(siblingToken)
	require.NoError(t, err)
	account, err := nkeys.CreateAccount()
	require.NoError(t, err)

	parts := strings.Split(token, ".")
	edited := func(change func(map[string]any)) string {
		body, err := base64.RawURLEncoding.DecodeString(parts[1])
		require.NoError(t, err)
		var fields map[string]any
		require.NoError(t, json.Unmarshal(body, &fields))
		change(fields)
		body, err = json.Marshal(fields)
		require.NoError(t, err)
		return parts[0] + "." + base64.RawURLEncoding.EncodeToString(body) + "." + parts[2]
	}
	signed := func(by nkeys.KeyPair, change func(*jwt.UserClaims)) string {
		fresh := jwt.NewUserClaims(claims.Subject)
		change(fresh)
		text, err := fresh.Encode(by)
		if err != nil {
			return "" // the library itself refuses to sign that
		}
		return text
	}
	for what, forged := range map[string]string{
		"nothing":                                "",
		"its own token, of the sibling's issuer": edited(func(f map[string]any) { f["iss"] = sibling.Issuer }),
		"its own token without limits": edited(func(f map[string]any) {
			f["nats"] = map[string]any{"type": "user", "version": 2, "bearer_token": true, "subs": -1, "data": -1, "payload": -1}
		}),
		"a token without a signature":                    parts[0] + "." + parts[1] + ".",
		"a token of the algorithm none":                  base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"none"}`)) + "." + parts[1] + "." + parts[2],
		"a token that its own user has signed":           signed(user, func(*jwt.UserClaims) {}),
		"a token that an unknown account has signed":     signed(account, func(*jwt.UserClaims) {}),
		"one that says to be signed for the sibling":     signed(account, func(c *jwt.UserClaims) { c.IssuerAccount = sibling.Issuer }),
		"one that says to be signed for its own account": signed(account, func(c *jwt.UserClaims) { c.IssuerAccount = claims.Issuer }),
		"the sibling's claims with its own signature":    strings.Join([]string{parts[0], strings.Split(siblingToken, ".")[1], parts[2]}, "."),
	} {
		conn, err := nats.Connect(h.url, nats.UserJWT(func() (string, error) { return forged, nil }, user.Sign), nats.NoReconnect())
		if err == nil {
			conn.Close()
		}
		require.ErrorIsf(t, err, nats.ErrAuthorization, "%s", what)
		t.Logf("enter with %s: refused", what)
	}
	other, err := nkeys.CreateUser()
	require.NoError(t, err)
	_, err = nats.Connect(h.url, nats.UserJWT(func() (string, error) { return siblingToken, nil }, other.Sign), nats.NoReconnect())
	require.ErrorIs(t, err, nats.ErrAuthorization, "a token that was overheard is no key")
	t.Log("enter with the sibling's token, overheard: refused")
	for what, option := range map[string]nats.Option{
		"no credentials": nats.NoReconnect(), "a user and a password": nats.UserInfo("kre", "kre"), "a token": nats.Token("kre"),
	} {
		_, err := nats.Connect(h.url, option)
		require.ErrorIsf(t, err, nats.ErrAuthorization, "%s", what)
		t.Logf("enter with %s: refused", what)
	}
}

// stopped: the credentials of a run end with it, those who have them are thrown out, and a new start has others.
func (h *hostile) stopped(t *testing.T) {
	_, err := h.engine.Versions.StopVersion(t.Context(), &adminv1.StopVersionRequest{Name: harness.Name("mine", "greeting-v1"), Discard: true})
	require.NoError(t, err)
	h.engine.WaitState(t, "mine", "greeting-v1", adminv1.Version_STOPPED)
	harness.Eventually(t, "it is thrown out", func() (bool, string) { return h.conn.IsClosed(), "" })
	t.Log("who was in is thrown out")
	h.shutOut(t, "after the stop")
	h.engine.MustStart(t, "mine", "greeting-v1")
	h.shutOut(t, "after the next start")
	now, err := os.ReadFile(h.env["KRE_NATS_CREDS"])
	require.NoError(t, err)
	h.enter(t, now).Close()
	h.creds = now
	_, err = h.engine.Versions.StopVersion(t.Context(), &adminv1.StopVersionRequest{Name: harness.Name("mine", "greeting-v1"), Discard: true})
	require.NoError(t, err)
	h.engine.WaitState(t, "mine", "greeting-v1", adminv1.Version_STOPPED)
	h.shutOut(t, "of the second start, after its stop")
}

func (h *hostile) shutOut(t *testing.T, when string) {
	t.Helper()
	_, err := h.tryEnter(t, h.creds)
	require.ErrorIs(t, err, nats.ErrAuthorization, when)
	t.Logf("its credentials %s: refused", when)
}

func (h *hostile) deleted(t *testing.T) {
	_, err := h.engine.Versions.DeleteVersion(t.Context(), &adminv1.DeleteVersionRequest{Name: harness.Name("mine", "greeting-v1")})
	require.NoError(t, err)
	harness.Eventually(t, "it is gone", func() (bool, string) {
		_, err := h.engine.Get(t.Context(), "mine", "greeting-v1")
		return err != nil, ""
	})
	h.shutOut(t, "after the version was deleted")
	h.engine.MustUpload(t, "mine", harness.Greeting(t, "greeting-v1"))
	h.engine.Set(t, "mine", "greeting-v1", map[string]string{"GREETING": "Hello"})
	h.engine.MustStart(t, "mine", "greeting-v1")
	h.shutOut(t, "after another version of that name was started")
}
