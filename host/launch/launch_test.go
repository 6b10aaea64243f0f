package launch_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/konstellation-io/kre/host/launch"
	"github.com/konstellation-io/kre/host/pyenv"
	"github.com/konstellation-io/kre/kit/proc"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

func settings() launch.Settings {
	return launch.Settings{
		Package: "/packages/p", NATSURL: "nats://127.0.0.1:4222", NATSCredentials: "/run/nats.creds", LogLevel: "warn",
		Variables: map[string]string{"API_KEY": "secret", "OTHER": "of another node"},
		Files:     map[string]string{"CERT": "/run/files/CERT"},
		Platform:  map[string]string{"PATH": "/bin", "HOME": "/home/me"},
	}
}

func node() *runtimev1.Node {
	return &runtimev1.Node{
		Workflow: "Prices", Name: "Model", Config: `{"node":"Model"}`, Src: "bin/model", Runner: runtimev1.Runner_RUNNER_EXECUTABLE,
		Env: map[string]string{"COLOUR": "red", "HOME": "/nowhere"}, ConfigVariables: []string{"API_KEY"}, ConfigFiles: []string{"CERT"},
	}
}

func TestANodeGetsWhatItDeclaresAndWhatThePlatformSays(t *testing.T) {
	program := launch.Program{Path: "/packages/p/bin/model", Args: []string{"-x"}, Bin: "/venv/bin"}
	command, err := settings().Node(node(), program)
	require.NoError(t, err)
	require.Equal(t, launch.Command{
		Path: "/packages/p/bin/model", Args: []string{"-x"}, Dir: "/packages/p", Config: `{"node":"Model"}`, StartTimeout: time.Minute,
		Env: map[string]string{
			"PATH": "/venv/bin:/bin", "HOME": "/nowhere", "COLOUR": "red", "API_KEY": "secret", "CERT": "/run/files/CERT",
			"KRE_NATS_URL": "nats://127.0.0.1:4222", "KRE_NATS_CREDS": "/run/nats.creds", "KRE_PACKAGE": "/packages/p",
			"KRE_LOG_FORMAT": "json",
		},
	}, command)
}

func TestOnlyProgramsOfThePlatformAreToldWhereTracesGo(t *testing.T) {
	environ := []string{"PATH=/bin", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_HEADERS=key=secret"}
	require.Equal(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_HEADERS": "key=secret",
	}, launch.Telemetry(environ))
	require.Equal(t, map[string]string{"PATH": "/bin"}, launch.Inherited(environ))
}

func TestANodeCannotSayWhereTheBrokerIs(t *testing.T) {
	s, n := settings(), node()
	s.NATSCredentials = ""
	n.Env = map[string]string{"KRE_NATS_URL": "nats://elsewhere", "KRE_NATS_CREDS": "/elsewhere"}
	command, err := s.Node(n, launch.Program{})
	require.NoError(t, err)
	require.Equal(t, "nats://127.0.0.1:4222", command.Env["KRE_NATS_URL"])
	require.NotContains(t, command.Env, "KRE_NATS_CREDS")
}

func TestANodeLogsFromTheLevelOnThatItIsGiven(t *testing.T) {
	s := settings()
	s.NodeLogLevel = "debug"
	command, err := s.Node(node(), launch.Program{})
	require.NoError(t, err)
	require.Equal(t, "debug", command.Env["KRE_LOG_LEVEL"])
}

func TestANodeMayTakeTheTimeThatItAsksFor(t *testing.T) {
	n := node()
	n.StartTimeout = durationpb.New(3 * time.Minute)
	command, err := settings().Node(n, launch.Program{})
	require.NoError(t, err)
	require.Equal(t, 3*time.Minute, command.StartTimeout)
}

func TestAConfigurationValueThatIsNotSetIsNamed(t *testing.T) {
	s := settings()
	delete(s.Variables, "API_KEY")
	_, err := s.Node(node(), launch.Program{})
	require.EqualError(t, err, "node Model needs the configuration value API_KEY, which is not set")
	s = settings()
	delete(s.Files, "CERT")
	_, err = s.Node(node(), launch.Program{})
	require.EqualError(t, err, "node Model needs the configuration value CERT, which is not set")
}

func TestTheEntrypointGetsAddressesAndNoConfigurationValue(t *testing.T) {
	command := settings().Entrypoint(&runtimev1.Entrypoint{Config: "{}"}, "/bin/entrypoint", "127.0.0.1:9000", "127.0.0.1:8080")
	require.Equal(t, launch.Command{
		Path: "/bin/entrypoint", Dir: "/packages/p", Config: "{}", StartTimeout: time.Minute,
		Env: map[string]string{
			"PATH": "/bin", "HOME": "/home/me", "KRE_GRPC_ADDR": "127.0.0.1:9000", "KRE_HTTP_ADDR": "127.0.0.1:8080",
			"KRE_NATS_URL": "nats://127.0.0.1:4222", "KRE_NATS_CREDS": "/run/nats.creds", "KRE_PACKAGE": "/packages/p",
			"KRE_LOG_FORMAT": "json", "KRE_LOG_LEVEL": "warn",
		},
	}, command)
}

func TestOfTheEnvironmentOnlyWhatProgramsNeedIsPassedOn(t *testing.T) {
	require.Equal(t, map[string]string{"PATH": "/bin", "LC_ALL": "C", "TZ": "a=b"}, launch.Inherited([]string{
		"PATH=/bin", "LC_ALL=C", "TZ=a=b", "AWS_SECRET_ACCESS_KEY=x", "KRE_SERVICE_TOKEN=x", "PYTHONPATH=/mine", "nonsense",
		"HTTP_PROXY=http://me:secret@proxy:3128", "https_proxy=http://me:secret@proxy:3128",
	}))
	require.Equal(t, map[string]string{"PATH": "/bin", "HTTP_PROXY": "http://proxy:3128"},
		launch.Inherited([]string{"PATH=/bin", "HTTP_PROXY=http://proxy:3128", "NO_PROXY=a"}, "HTTP_PROXY", "HTTPS_PROXY"))
}

func TestWhatIsAskedForHasToBeAVariable(t *testing.T) {
	require.NoError(t, launch.CheckAsked([]string{"HTTPS_PROXY", "no_proxy", "_x9"}))
	require.ErrorContains(t, launch.CheckAsked([]string{"A=b"}), `--pass-env "A=b": want the name of a variable, e.g. HTTPS_PROXY`)
	require.ErrorContains(t, launch.CheckAsked([]string{"KRE_SERVICE_TOKEN"}), "are the platform's")
}

func TestThePrintChangesWithWhateverAProcessRunsWith(t *testing.T) {
	print := func(change func(*launch.Settings, *runtimev1.Node), stamps ...string) string {
		s, n := settings(), node()
		change(&s, n)
		command, err := s.Node(n, launch.Program{Path: "/p"})
		require.NoError(t, err)
		return command.Print(stamps...)
	}
	same := func(*launch.Settings, *runtimev1.Node) {}
	first := print(same)
	require.Equal(t, first, print(same))
	require.Equal(t, first, print(func(s *launch.Settings, _ *runtimev1.Node) { s.Variables["OTHER"] = "changed" }))
	for what, other := range map[string]string{
		"a value":       print(func(s *launch.Settings, _ *runtimev1.Node) { s.Variables["API_KEY"] = "changed" }),
		"configuration": print(func(_ *launch.Settings, n *runtimev1.Node) { n.Config = "{}" }),
		"time":          print(func(_ *launch.Settings, n *runtimev1.Node) { n.StartTimeout = durationpb.New(time.Second) }),
		"a stamp":       print(same, "changed"),
	} {
		require.NotEqual(t, first, other, what)
	}
}

func TestWhatIsPlacedIsForThisUserAloneAndRuns(t *testing.T) {
	dir := t.TempDir()
	s, n := settings(), node()
	s.Package, s.Platform = t.TempDir(), nil
	require.NoError(t, os.Mkdir(filepath.Join(s.Package, "bin"), 0o700))
	script := `#!/bin/sh
echo "$COLOUR $API_KEY $(cat "$KRE_CONFIG") $(pwd)"
touch "$KRE_READY_FILE"
exec sleep 1000
`
	require.NoError(t, os.WriteFile(filepath.Join(s.Package, "bin", "model"), []byte(script), 0o700))
	program, err := launch.PackageProgram(t.Context(), s.Package, n, launch.PackageOptions{})
	require.NoError(t, err)
	command, err := s.Node(n, program)
	require.NoError(t, err)
	place := filepath.Join(dir, "processes", "model-0")
	for range 2 { // the second time over what the first has left
		spec, err := command.Place("prices.model-0", place)
		require.NoError(t, err)
		require.Equal(t, "prices.model-0", spec.Name)
		require.Equal(t, time.Minute, spec.StartTimeout)
		info, err := os.Stat(filepath.Join(place, "config.json"))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

		supervisor := proc.New(proc.Options{})
		p := supervisor.Start(spec)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		require.NoError(t, p.WaitReady(ctx))
		cancel()
		p.Stop(0)
		<-p.Done()
		require.Equal(t, []string{`red secret {"node":"Model"} ` + s.Package}, p.Tail())
		supervisor.Close()
	}
	info, err := os.Stat(place)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestAPythonNodeRunsInAnEnvironmentWithTheSDK(t *testing.T) {
	root, cache := t.TempDir(), t.TempDir()
	n := &runtimev1.Node{Name: "etl", Src: "src/etl/main.py", Runner: runtimev1.Runner_RUNNER_PYTHON}
	program, err := launch.PackageProgram(t.Context(), root, n, launch.PackageOptions{Libexec: "/platform", Cache: cache})
	require.NoError(t, err)
	require.Equal(t, "/platform/runner", program.Path)
	require.Len(t, program.Args, 4)
	python := program.Args[1]
	require.Equal(t, []string{"--", python, "-m", "kre"}, program.Args)
	require.True(t, strings.HasPrefix(python, cache))
	out, err := exec.Command(python, "-c", "import kre; print('fine')").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "fine\n", string(out))
	command, err := settings().Node(n, program)
	require.NoError(t, err)
	require.Equal(t, "1", command.Env["PYTHONUNBUFFERED"])
	require.Equal(t, "1", command.Env["PYTHONSAFEPATH"])
	require.Equal(t, filepath.Dir(python)+":/bin", command.Env["PATH"])

	again, err := launch.Python(t.Context(), "/platform", pyenv.Options{Root: root, Src: n.Src, Packed: true, Cache: cache})
	require.NoError(t, err)
	require.Equal(t, program, again)

	libexec := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(libexec, "runner"), []byte("another"), 0o600))
	other, err := launch.PackageProgram(t.Context(), root, n, launch.PackageOptions{Libexec: libexec, Cache: cache})
	require.NoError(t, err)
	require.Equal(t, program.Args, other.Args)
	require.NotEqual(t, program.Stamp, other.Stamp, "another runner is another program")
}

func TestAPythonThatIsNotThereIsNamed(t *testing.T) {
	n := &runtimev1.Node{Name: "etl", Src: "main.py", Runner: runtimev1.Runner_RUNNER_PYTHON}
	_, err := launch.PackageProgram(t.Context(), t.TempDir(), n, launch.PackageOptions{Python: "no-such-python", Cache: t.TempDir()})
	require.ErrorContains(t, err, `"no-such-python" cannot be found`)
}

func TestAnUnknownRunnerIsRefused(t *testing.T) {
	_, err := launch.PackageProgram(t.Context(), t.TempDir(), &runtimev1.Node{Name: "etl"}, launch.PackageOptions{})
	require.EqualError(t, err, "node etl: nothing here runs RUNNER_UNSPECIFIED")
}

func TestTheStampOfAnExecutableChangesWithItsContent(t *testing.T) {
	file := filepath.Join(t.TempDir(), "node")
	missing, err := launch.Executable(file)
	require.NoError(t, err, "who starts it says so better")
	require.Equal(t, launch.Program{Path: file}, missing)
	require.NoError(t, os.WriteFile(file, []byte("a"), 0o600))
	first, err := launch.Executable(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte("b"), 0o600))
	second, err := launch.Executable(file)
	require.NoError(t, err)
	require.NotEqual(t, first.Stamp, second.Stamp)
}

func TestAWorkerRunsUnderTheRunnerOfThePlatform(t *testing.T) {
	root, libexec := t.TempDir(), t.TempDir()
	write := func(name, content string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		require.NoError(t, os.WriteFile(name, []byte(content), 0o700))
	}
	runner, file := filepath.Join(libexec, "runner"), filepath.Join(root, "bin", "model")
	of := func() launch.Program {
		program, err := launch.PackageProgram(t.Context(), root,
			&runtimev1.Node{Name: "model", Src: "bin/model", Runner: runtimev1.Runner_RUNNER_WORKER}, launch.PackageOptions{Libexec: libexec})
		require.NoError(t, err)
		require.Equal(t, launch.Program{Worker: true, Path: runner, Args: []string{"--", file}, Stamp: program.Stamp}, program)
		return program
	}
	stamps := []string{of().Stamp} // neither is there: who starts them says so better
	write(runner, "runner")
	stamps = append(stamps, of().Stamp)
	write(file, "one")
	stamps = append(stamps, of().Stamp)
	require.Equal(t, stamps[2], of().Stamp)
	write(file, "two")
	stamps = append(stamps, of().Stamp)
	write(runner, "a longer runner")
	stamps = append(stamps, of().Stamp)
	for i := range stamps {
		require.NotContains(t, stamps[i+1:], stamps[i])
	}
}

func TestARunnerIsReadOnceAsLongAsItIsTheSame(t *testing.T) {
	libexec := t.TempDir()
	file := filepath.Join(libexec, "runner")
	stamp := func() string {
		program, err := launch.Runner(libexec)
		require.NoError(t, err)
		return program.Stamp
	}
	require.Empty(t, stamp())
	require.NoError(t, os.WriteFile(file, []byte("one"), 0o700))
	when := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(file, when, when))
	first := stamp()
	require.NoError(t, os.WriteFile(file, []byte("two"), 0o700))
	require.NoError(t, os.Chtimes(file, when, when))
	require.Equal(t, first, stamp(), "size and time are what they were")
	require.NoError(t, os.Chtimes(file, when, when.Add(time.Second)))
	require.NotEqual(t, first, stamp())
}
