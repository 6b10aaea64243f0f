package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/console"
)

type named struct {
	Name  string `json:"name"`
	State string `json:"state"`
}

func TestTheLifeOfAVersion(t *testing.T) {
	p := newPerson(t)
	t.Setenv("KRE_RUNTIME", "life")
	p.does("runtime", "create", "life", "--description", "From its beginning to its end")
	require.Contains(t, p.does("runtime", "get"), "From its beginning to its end")

	first := project(t, "life-v1")
	created := p.types("", "version", "create", first, "--comment", "first try", "-o", "json")
	require.Equal(t, exitOK, created.code, created.err)
	require.Equal(t, named{"runtimes/life/versions/life-v1", "STOPPED"}, decode[named](t, created.out))
	require.Contains(t, created.err, "build bin/greet", "notes of packing stay out of the answer")

	require.Equal(t, "kre: cannot start life-v1: version life-v1 cannot be started until these configuration values are set: GREETING\n"+
		"Set them: kre version config set life-v1 GREETING=VALUE\n", p.refused("version", "start", "life-v1"))
	require.Contains(t, p.refused("version", "config", "set", "life-v1", "GREETNG=Hello"), `did you mean "GREETING"?`)
	require.Regexp(t, `GREETING +variable +missing`, p.does("version", "config", "list", "life-v1"))
	set := p.types("Hello\n", "version", "config", "set", "life-v1", "GREETING")
	require.Equal(t, exitOK, set.code, set.err)
	require.Regexp(t, `GREETING +variable +set`, set.out)
	require.NotContains(t, set.out+set.err, "Hello")

	require.Contains(t, p.refused("version", "publish", "life-v1"), "life-v1 is STOPPED: start it")
	started := p.types("", "version", "start", "life-v1", "--comment", "let us see")
	require.Equal(t, exitOK, started.code, started.err)
	require.Contains(t, started.out, "life-v1 runs")
	published := decode[named](t, p.does("version", "publish", "life-v1", "-o", "json"))
	require.Equal(t, "PUBLISHED", published.State)
	called := p.types("", "version", "call", "life-v1", "Greet", `{"name": "Ada"}`)
	require.Equal(t, exitOK, called.code, called.err)
	require.Equal(t, `{"text":"Hello Ada","version":"life-v1"}`+"\n", called.out)
	id := strings.TrimSpace(called.err)
	require.Len(t, id, 26, "the id of the request")

	require.Regexp(t, `life +READY +life-v1`, p.does("status"))
	p.eventually(`greet +greet +READY +1/1`, "version", "nodes", "life-v1")
	p.eventually(`greet .*greeting Ada`, "logs", "--request", id)
	require.Contains(t, p.refused("version", "docs", "life-v1"), "no docs/README.md")
	require.Contains(t, p.refused("version", "create", first), "kre: cannot create a version of "+filepath.Base(first)+": runtime life has a version life-v1 already")

	second := project(t, "life-v2", `SUFFIX: ""`, `SUFFIX: " again"`)
	p.does("version", "create", second)
	require.Regexp(t, `GREETING +variable +set .* life-v1`, p.does("version", "config", "list", "life-v2"))
	p.does("version", "start", "life-v2", "--no-wait")
	watched := p.does("version", "watch", "life-v2", "--until", "started")
	require.Contains(t, watched, "life-v2  STARTED")
	p.does("version", "publish", "life-v2")
	back := p.types("", "version", "rollback", "--comment", "too chatty")
	require.Equal(t, exitOK, back.code, back.err)
	require.Contains(t, back.err, "life-v1 was published before.")
	require.Contains(t, back.out, "life-v1 is published")
	require.Contains(t, p.does("runtime", "activity", "--action", "version.publish", "-n", "1"), "too chatty")

	p.eventually(`life-v2 +STARTED`, "version", "list", "--filter", "running = true")
	all := decode[[]named](t, p.does("version", "list", "-o", "json", "--filter", `published = true AND name = "life-*"`))
	require.Len(t, all, 1)
	require.Equal(t, "runtimes/life/versions/life-v1", all[0].Name)

	require.Contains(t, p.refused("version", "stop", "life-v1"), "unpublish it before it is stopped")
	p.does("version", "unpublish", "life-v1")
	p.does("version", "stop", "life-v1")
	require.Contains(t, p.does("version", "stop", "life-v2", "--discard"), "life-v2 has stopped")
	p.does("version", "delete", "life-v2")
	require.Contains(t, p.refused("runtime", "delete", "life"), "--confirm life")
	require.Contains(t, p.refused("runtime", "delete", "life", "--confirm", "another"), "confirm")
	watching := follow(t, "version", "watch", "-o", "json")
	watching.until(`"snapshot":`)
	p.does("runtime", "delete", "life", "--confirm", "life")
	watching.until(`"deleted":true`)
	require.Equal(t, exitOK, <-watching.code, "a watch ends when there is nothing left to see")
	require.Contains(t, p.refused("runtime", "get"), "kre runtime create life makes it")
}

// eventually runs a command until it prints what matches: lists and logs lag behind what has happened.
func (p person) eventually(want string, args ...string) {
	p.t.Helper()
	matches := regexp.MustCompile(want)
	require.Eventually(p.t, func() bool {
		s := p.types("", args...)
		return s.code == exitOK && matches.MatchString(s.out)
	}, patience, 50*time.Millisecond, "kre %s does not print %s", strings.Join(args, " "), want)
}

func TestAVersionThatDoesNotStartTellsWhatItsNodeSaid(t *testing.T) {
	p := newPerson(t)
	p.does("runtime", "create", "trouble")
	p.does("version", "create", project(t, "crash-v1", "TROUBLE: none", "TROUBLE: crash"))
	env := filepath.Join(t.TempDir(), ".env")
	require.NoError(t, os.WriteFile(env, []byte("GREETING=Hello\nOTHER=1\n"), 0o600))
	imported := p.types("", "version", "config", "import", "crash-v1", env)
	require.Equal(t, exitOK, imported.code, imported.err)
	require.Contains(t, imported.err, "does not declare it: OTHER")

	complaint := p.refused("version", "start", "crash-v1")
	require.Contains(t, complaint, "kre: cannot start crash-v1: node greet ended with code 3")
	require.Regexp(t, `(?m)^  greet: ended with code 3`, complaint)
	require.Regexp(t, `(?m)^    .*cannot load the model`, complaint)
	require.Contains(t, complaint, "kre version stop crash-v1 gives it up")
	require.Contains(t, p.refusedAfter("watch", "crash-v1", "--until", "started"), "crash-v1 is not started: node greet")

	p.eventually(`trouble +crash-v1 +greet +FAILED`, "status", "--runtime", "trouble", "--once")
	type place struct {
		Runtime  named   `json:"runtime"`
		Versions []named `json:"versions"`
		Troubles []struct {
			Version string `json:"version"`
			Node    named  `json:"node"`
		} `json:"troubles"`
	}
	all := decode[[]place](t, p.does("status", "--runtime", "trouble", "-o", "json"))
	require.Len(t, all, 1)
	require.Equal(t, "runtimes/trouble", all[0].Runtime.Name)
	var troubled []string // others may not be ready yet
	for _, one := range all[0].Troubles {
		require.Equal(t, "runtimes/trouble/versions/crash-v1", one.Version)
		troubled = append(troubled, one.Node.Name)
	}
	require.Contains(t, troubled, "greet")

	followed := follow(t, "logs", "crash-v1", "-f", "--node", "greet", "-o", "json")
	followed.until("cannot load the model")
	require.Equal(t, exitOK, followed.end(), "Ctrl-C ends what has no end")
	p.does("version", "stop", "crash-v1")
	p.does("version", "config", "unset", "crash-v1", "GREETING")
	p.does("runtime", "delete", "trouble", "--confirm", "trouble", "--no-wait")
}

// refusedAfter is refused for commands that print until they fail.
func (p person) refusedAfter(args ...string) string {
	p.t.Helper()
	s := p.types("", append([]string{"version"}, args...)...)
	require.Equal(p.t, exitFailed, s.code, "%s%s", s.out, s.err)
	return s.err
}

// following is a command that goes on.
type following struct {
	t      *testing.T
	output *lockedBuffer
	cancel context.CancelFunc
	code   chan int
}

func follow(t *testing.T, args ...string) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &following{t: t, output: &lockedBuffer{}, cancel: cancel, code: make(chan int, 1)}
	go func() {
		f.code <- start(ctx, args, &console.Console{In: strings.NewReader(""), Out: f.output, Err: f.output})
	}()
	t.Cleanup(cancel)
	return f
}

// until waits until the command has printed this.
func (f *following) until(text string) {
	f.t.Helper()
	require.Eventually(f.t, func() bool { return strings.Contains(f.output.String(), text) }, patience, 10*time.Millisecond, "%s", f.output)
}

// end is Ctrl-C.
func (f *following) end() int {
	f.cancel()
	return <-f.code
}

func TestAWatchShowsWhatChangesUntilCtrlC(t *testing.T) {
	p := newPerson(t)
	p.does("runtime", "create", "watched")
	f := follow(t, "version", "watch", "-o", "json")
	f.until(`"snapshot":`)
	p.does("runtime", "update", "watched", "--description", "seen from far")
	f.until("seen from far")
	require.Equal(t, exitOK, f.end())
	p.does("runtime", "delete", "watched", "--confirm", "watched", "--no-wait")
	require.Contains(t, p.refused("version", "list"), "which runtime?", "the one that was chosen is gone")
}

// packed is a package of these files: name, content, name, …
func packed(t *testing.T, files ...string) string {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	entries := tar.NewWriter(zipped)
	for i := 0; i < len(files); i += 2 {
		require.NoError(t, entries.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}))
		_, err := entries.Write([]byte(files[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, entries.Close())
	require.NoError(t, zipped.Close())
	file := filepath.Join(t.TempDir(), "wrong.krt")
	require.NoError(t, os.WriteFile(file, out.Bytes(), 0o600))
	return file
}

func TestRefusalsAreOneSentenceAndWhatToDo(t *testing.T) {
	p := newPerson(t)
	p.does("runtime", "create", "refusals")
	text := filepath.Join(t.TempDir(), "text.krt")
	require.NoError(t, os.WriteFile(text, []byte("what somebody wrote"), 0o600))
	tests := map[string]struct {
		args []string
		want string
	}{
		"every complaint about a manifest, with its line": {
			[]string{"version", "create", packed(t, "krt.yml", "version: x\nworkflowz: []\nconfig: 3\n")},
			"kre: cannot create a version of wrong.krt: its manifest has 2 complaints\n" +
				"  workflowz (line 2): unknown key \"workflowz\"; did you mean \"workflows\"?\n" +
				"  config (line 3): must be a mapping (key: value), but is \"3\"\n",
		},
		"no package": {[]string{"version", "create", text}, "kre: cannot create a version of text.krt: "},
		"no file":    {[]string{"version", "create", "nothing.krt"}, "nothing.krt does not exist; name a .krt or a project's folder\n"},
		"no version": {
			[]string{"version", "get", "none"},
			"kre: cannot look at version none: runtime refusals has no version none\nkre version list shows those there are.\n",
		},
		"no runtime": {
			[]string{"runtime", "use", "none"},
			"kre: cannot look at runtime none: there is no runtime none\nkre runtime list shows those there are; kre runtime create none makes it.\n",
		},
		"a runtime that there is":  {[]string{"runtime", "create", "refusals"}, "refusals"},
		"a name that is none":      {[]string{"runtime", "create", "No Name"}, "kre: cannot create runtime No Name: "},
		"an unknown field":         {[]string{"version", "list", "--filter", `colour = "red"`}, "there are name, running, published, digest\n"},
		"nothing to roll back to":  {[]string{"version", "rollback"}, "there is nothing to go back to"},
		"a request that is none":   {[]string{"version", "call", "none", "Greet", "{"}, "kre: the request is no JSON: "},
		"logs of nobody":           {[]string{"logs"}, "kre: of which version? none is published and none runs"},
		"a time that is none":      {[]string{"logs", "none", "--since", "yesterday"}, `kre: --since "yesterday": want how long ago (10m, 2h)`},
		"no lines":                 {[]string{"logs", "none", "-n", "0"}, "kre: -n 0: want at least 1\n"},
		"a revision that has gone": {[]string{"runtime", "update", "refusals", "--description=x", "--revision=1"}, "somebody has changed it meanwhile"},
		"nothing to set":           {[]string{"version", "config", "set", "none"}, "nothing to set: give KEY=VALUE or --file KEY=PATH\n"},
		"a file that is not there": {[]string{"version", "config", "set", "none", "--file", "A=nothing"}, "kre: --file A: open nothing: "},
		"a watch for what":         {[]string{"version", "watch", "--until", "started"}, "of which version? Name it\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := typed(t.Context(), "", test.args...)
			require.Equal(t, exitFailed, s.code)
			require.Empty(t, s.out)
			require.Contains(t, s.err, test.want)
		})
	}
	p.does("runtime", "delete", "refusals", "--confirm", "refusals", "--no-wait")
}

func TestLoginRemembersAnEngineThatLetsIn(t *testing.T) {
	p := newPerson(t)
	type shown struct {
		Name    string `json:"name"`
		Current bool   `json:"current"`
		GRPC    string `json:"grpcAddress"`
		HTTP    string `json:"httpAddress"`
	}
	local := decode[shown](t, p.does("context", "show", "-o", "json"))
	require.Equal(t, "local", local.Name)
	token, err := os.ReadFile(filepath.Join(shared.dir, "data", "secrets", "admin.token"))
	require.NoError(t, err)

	wrong := p.types("wrong\n", "login", local.GRPC, "--context", "other")
	require.Equal(t, exitFailed, wrong.code)
	require.Contains(t, wrong.err, "The token is not the engine's; nothing was changed.\n")
	require.Contains(t, p.refused("context", "use", "other"), "there is no context other; there is local\n")

	in := p.types(string(token), "login", local.GRPC, "--context", "other", "--http", "http://here")
	require.Equal(t, exitOK, in.code, in.err)
	require.Equal(t, shown{"other", true, local.GRPC, "http://here"}, decode[shown](t, p.does("context", "show", "-o", "json")))
	require.NotContains(t, p.does("context", "list", "-o", "yaml"), strings.TrimSpace(string(token)))
	p.does("runtime", "list")
	p.does("context", "use", "local")
	p.does("context", "delete", "other")
	require.Equal(t, []shown{local}, decode[[]shown](t, p.does("context", "list", "-o", "json")))
	require.Contains(t, p.types("x", "login", "127.0.0.1:1").err, "no engine answers at 127.0.0.1:1\nIs it running there?")
	require.Contains(t, p.types("x", "login", "http://here/").err, "want HOST or HOST:PORT")
	require.Contains(t, p.types("two words", "login", "here").err, "that is no token")
	require.Contains(t, p.types("", "login", "here").err, "no token was given")
}

func TestAShellLearnsCommandsFlagsAndTheEnginesNames(t *testing.T) {
	p := newPerson(t)
	p.does("runtime", "create", "shell")
	p.does("version", "create", project(t, "shell-v1"))
	tests := map[string]struct{ line, want string }{
		"commands":                    {"kre versi", "version\n"},
		"commands below":              {"kre version publ", "publish\n"},
		"flags":                       {"kre login --na", "--name\n"},
		"values of flags":             {"kre version list -o y", "yaml\n"},
		"versions":                    {"kre version start she", "shell-v1\n"},
		"versions of another runtime": {"kre version start --runtime none ", ""},
		"runtimes":                    {"kre runtime use she", "shell\n"},
		"runtimes of a flag":          {"kre version list --runtime she", "shell\n"},
		"contexts":                    {"kre context use ", "local\n"},
		"of an engine that is none":   {"kre version start --context none ", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("COMP_LINE", test.line)
			s := typed(t.Context(), "")
			require.Equal(t, said{exitOK, test.want, ""}, s)
		})
	}
	t.Run("silent when no engine answers", func(t *testing.T) {
		t.Setenv("KRE_CONFIG_DIR", t.TempDir())
		require.NoError(t, os.WriteFile(filepath.Join(os.Getenv("KRE_CONFIG_DIR"), "config.json"),
			[]byte(`{"current":"gone","contexts":{"gone":{"grpc":"127.0.0.1:1","runtime":"x"}}}`), 0o600))
		t.Setenv("COMP_LINE", "kre version start ")
		require.Equal(t, said{exitOK, "", ""}, typed(t.Context(), ""))
	})
	for _, shell := range []string{"bash", "zsh", "fish"} {
		require.Regexp(t, `(?m)^complete .*kre`, p.does("completion", shell))
	}
	p.does("runtime", "delete", "shell", "--confirm", "shell", "--no-wait")
}
