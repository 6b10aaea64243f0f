package up

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/cliconfig"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/proc"
)

func noneTaken(t *testing.T) func(wanted, got int) {
	return func(wanted, got int) { require.Failf(t, "a port is taken", "%d: %d instead", wanted, got) }
}

func TestPortsAreChosenOnceAndDiffer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ports.json")
	first, err := choosePorts(t.Context(), file, wanted{}, noneTaken(t))
	require.NoError(t, err)
	all := map[int]bool{
		first.NATS: true, first.Objects: true, first.HTTP: true, first.GRPC: true, first.FirstGRPC: true, first.FirstHTTP: true,
	}
	require.Len(t, all, 6)
	require.NotContains(t, all, 0)
	second, err := choosePorts(t.Context(), file, wanted{}, noneTaken(t))
	require.NoError(t, err)
	require.Equal(t, first, second)
}

func TestATakenPortIsReplacedAndTold(t *testing.T) {
	// Somebody else on this machine may take one of the others meanwhile, though not time and again.
	const tries = 5
	for range tries {
		first, second := replaceTaken(t)
		if first == second {
			return
		}
		t.Logf("the others changed too: %v, then %v", first, second)
	}
	require.Fail(t, "the others do not stay")
}

// replaceTaken has two ports taken. It returns what was chosen before and after, but for those two and one that is asked for.
func replaceTaken(t *testing.T) (before, after chosen) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ports.json")
	first, err := choosePorts(t.Context(), file, wanted{}, noneTaken(t))
	require.NoError(t, err)
	for _, port := range []int{first.Objects, first.HTTP} {
		stranger, err := net.Listen("tcp", ports.Address(ports.Loopback, port))
		require.NoError(t, err)
		defer stranger.Close() //nolint:errcheck // only its port matters
	}
	var told [][2]int
	second, err := choosePorts(t.Context(), file, wanted{http: first.HTTP, grpc: first.GRPC, firstGRPC: 9000},
		func(wanted, got int) { told = append(told, [2]int{wanted, got}) })
	require.NoError(t, err)
	require.Equal(t, [][2]int{{first.HTTP, second.HTTP}}, told)
	require.NotEqual(t, first.HTTP, second.HTTP)
	require.NotEqual(t, first.Objects, second.Objects)
	require.Equal(t, 9000, second.FirstGRPC)
	second.HTTP, second.Objects, second.FirstGRPC = first.HTTP, first.Objects, first.FirstGRPC
	return first, second
}

func TestADamagedListOfPortsIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ports.json")
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	_, err := choosePorts(t.Context(), file, wanted{}, noneTaken(t))
	require.ErrorContains(t, err, "remove "+file)
}

func TestTheFolderOfAKilledEngineIsFreeAsSoonAsItsGuardIsDone(t *testing.T) {
	dir := t.TempDir()
	guard, err := lockData(t.Context(), dir)
	require.NoError(t, err)
	require.NoError(t, guard.Truncate(0))
	require.NoError(t, writeAt(guard, strconv.Itoa(1<<30))) // nobody's number: the engine is dead
	locked := make(chan error, 1)
	go func() {
		next, err := lockData(t.Context(), dir)
		if err == nil {
			err = next.Close()
		}
		locked <- err
	}()
	require.NoError(t, guard.Close())
	require.NoError(t, <-locked)
}

func TestTheContextKeepsWhatAPersonHasChosen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	state := State{GRPC: "127.0.0.1:7081", HTTP: "http://127.0.0.1:7080"}
	written := cliconfig.Context{GRPC: state.GRPC, HTTP: state.HTTP, Token: "t", Runtime: "pricing"}
	other := cliconfig.Context{GRPC: "kre.example:443", HTTP: "https://kre.example"}
	tests := map[string]struct {
		before, after cliconfig.Config
	}{
		"nothing was chosen": {
			cliconfig.Config{Contexts: map[string]cliconfig.Context{"local": {GRPC: "127.0.0.1:1", Token: "old", Runtime: "pricing"}}},
			cliconfig.Config{Current: "local", Contexts: map[string]cliconfig.Context{"local": written}},
		},
		"another was": {
			cliconfig.Config{Current: "other", Contexts: map[string]cliconfig.Context{"local": {Runtime: "pricing"}, "other": other}},
			cliconfig.Config{Current: "other", Contexts: map[string]cliconfig.Context{"local": written, "other": other}},
		},
		"one was that is not there": {
			cliconfig.Config{Current: "gone", Contexts: map[string]cliconfig.Context{"local": {Runtime: "pricing"}}},
			cliconfig.Config{Current: "local", Contexts: map[string]cliconfig.Context{"local": written}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, test.before.SaveFile(file))
			require.NoError(t, writeContext(file, cliconfig.Context{GRPC: state.GRPC, HTTP: state.HTTP, Token: "t"}))
			after, err := cliconfig.LoadFile(file)
			require.NoError(t, err)
			require.Equal(t, test.after, after)
		})
	}
}

func TestALargeLogIsPutAside(t *testing.T) {
	name := filepath.Join(t.TempDir(), "logs", "admin-api.log")
	for _, text := range []string{"one\n", "two\n"} {
		log, err := openLog(name)
		require.NoError(t, err)
		_, err = log.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, log.Close())
	}
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, "one\ntwo\n", string(content))

	require.NoError(t, os.Truncate(name, rotateAbove+1))
	log, err := openLog(name)
	require.NoError(t, err)
	defer log.Close() //nolint:errcheck // nothing was written
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Zero(t, info.Size())
	info, err = os.Stat(name + ".1")
	require.NoError(t, err)
	require.EqualValues(t, rotateAbove+1, info.Size())
}

func TestWhatAKilledManagerLeftIsEnded(t *testing.T) {
	dir := t.TempDir()
	super := proc.New(proc.Options{})
	process := super.Start(proc.Spec{
		Name: "node", Path: "/bin/sleep", Args: []string{"1000"}, Dir: dir, Restart: true,
		Detached: &proc.Detached{StateFile: filepath.Join(dir, "pricing", "state", "node.json"), LogFile: filepath.Join(dir, "node.log")},
	})
	require.NoError(t, process.WaitReady(t.Context()))
	super.Close()
	state := filepath.Join(dir, "pricing", "state", "node.json")
	left, err := proc.ReadRecord(state)
	require.NoError(t, err)
	require.True(t, left.Runs())

	require.NoError(t, endLeft(t.Context(), dir, time.Minute))
	require.False(t, left.Runs())
	ended, err := proc.ReadRecord(state)
	require.NoError(t, err)
	require.Equal(t, proc.StateStopped, ended.State)
	require.NoError(t, endLeft(t.Context(), filepath.Join(dir, "none"), time.Minute))
}

func TestKeysOfS3AreInTheURLAndInNoError(t *testing.T) {
	c := Command{S3URL: "http://key:sec%2Fret@127.0.0.1:9000"}
	stores, err := c.given()
	require.NoError(t, err)
	require.Equal(t, s3{endpoint: "http://127.0.0.1:9000", access: "key", secret: "sec/ret"}, stores.s3)
	for _, wrong := range []string{"127.0.0.1:9000", "http://127.0.0.1:9000", "http://key@127.0.0.1:9000", "http://:secret@h:1", "ftp://key:secret@h:1", "http://key:secret@h:1%"} {
		c.S3URL = wrong
		_, err := c.given()
		require.EqualError(t, err, "--s3-url: want http://key:secret@host:port", wrong)
	}
}

func TestANATSOfOnesOwnNeedsItsOperator(t *testing.T) {
	dir := t.TempDir()
	_, err := (&Command{NATSURL: "nats://127.0.0.1:4222"}).given()
	require.ErrorContains(t, err, "go together")
	_, err = (&Command{NATSURL: "nats://127.0.0.1:4222", NATSOperator: dir}).given()
	require.ErrorContains(t, err, "operator.seed")
	for _, name := range []string{operatorSeed, systemCreds} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	stores, err := (&Command{NATSURL: "nats://127.0.0.1:4222", NATSOperator: dir}).given()
	require.NoError(t, err)
	require.Equal(t, dir, stores.operator)
}
