package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
)

const whole = `{
  "version": "prices-v1", "workflow": "estimate", "node": "Model", "id": "model", "src": "bin/model",
  "exitpoint": false, "onPath": true, "maxAttempts": 5, "timeoutMs": 30000,
  "sources": [{"stream": "entry_prices-v1_estimate", "consumer": "model"}],
  "output": {
    "stream": "node_prices-v1_estimate_model", "error": "kre.prices-v1.estimate.from.model.error",
    "channels": {"": "kre.prices-v1.estimate.from.model.out"}, "early": {"": "kre.prices-v1.estimate.from.model.early"}
  },
  "parcels": {
    "stream": "node_prices-v1_estimate_model", "consumer": "_parcels", "subject": "kre.prices-v1.estimate.from.model.parcel",
    "part": "kre.prices-v1.estimate.from.model.parcel.part", "last": "kre.prices-v1.estimate.from.model.parcel.last"
  },
  "deadLetters": {"stream": "dead_prices-v1", "subject": "kre.prices-v1._dead.estimate.model"},
  "starts": "starts_prices-v1"
}`

func read(t *testing.T, text string) (config.Process, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	env := map[string]string{
		"KRE_CONFIG": path, "KRE_NATS_URL": "nats://a,nats://b", "KRE_PACKAGE": "/package",
		"KRE_READY_FILE": "/ready", "KRE_LOG_FORMAT": "text", "KRE_LOG_LEVEL": "warn",
	}
	process, err := config.Read(func(name string) string { return env[name] })
	if err != nil {
		err = &textError{strings.ReplaceAll(err.Error(), path, "FILE")}
	}
	return process, err
}

type textError struct{ text string }

func (e *textError) Error() string { return e.text }

func TestConfigurationOfTheSpecificationIsRead(t *testing.T) {
	process, err := read(t, whole)
	require.NoError(t, err)
	require.Equal(t, config.Process{
		URL: "nats://a,nats://b", Package: "/package", ReadyFile: "/ready", TextLog: true, LogLevel: logline.Warn,
		Node: config.Node{
			Version: "prices-v1", Workflow: "estimate", Name: "Model", ID: "model", Src: "bin/model", OnPath: true, MaxAttempts: 5, TimeoutMs: 30_000,
			Sources: []config.Source{{Stream: "entry_prices-v1_estimate", Consumer: "model"}},
			Output: &config.Output{
				Stream: "node_prices-v1_estimate_model", Error: "kre.prices-v1.estimate.from.model.error",
				Channels: map[string]string{"": "kre.prices-v1.estimate.from.model.out"},
				Early:    map[string]string{"": "kre.prices-v1.estimate.from.model.early"},
			},
			Parcels: &config.Parcels{
				Source:  config.Source{Stream: "node_prices-v1_estimate_model", Consumer: "_parcels"},
				Subject: "kre.prices-v1.estimate.from.model.parcel",
				Part:    "kre.prices-v1.estimate.from.model.parcel.part",
				Last:    "kre.prices-v1.estimate.from.model.parcel.last",
			},
			DeadLetters: config.DeadLetters{Stream: "dead_prices-v1", Subject: "kre.prices-v1._dead.estimate.model"},
			Starts:      "starts_prices-v1",
		},
	}, process)
	require.Equal(t, 30*time.Second, process.Node.Timeout())
}

func TestConfigurationThatIsWrongIsNamed(t *testing.T) {
	for old, test := range map[string]struct{ replacement, want string }{
		`"workflow": "estimate"`:       {`"workflow": ""`, "the node's configuration FILE: workflow is missing"},
		`"maxAttempts": 5`:             {`"maxAttempts": 0`, "the node's configuration FILE: maxAttempts is 0, want at least 1"},
		`"starts": "starts_prices-v1"`: {`"starts": ""`, "the node's configuration FILE: starts is missing"},
		`{"stream": "entry_prices-v1_estimate", "consumer": "model"}`: {``, "the node's configuration FILE: sources is empty: the node would never receive anything"},
		`"parcels"`:      {`"boxes"`, "the node's configuration FILE: parcels is missing: the version has to be prepared again, by a platform that knows them"},
		`"onPath": true`: {`"onPath": 1`, "reading the node's configuration FILE: json: cannot unmarshal number into Go struct field Node.onPath of type bool"},
	} {
		t.Run(test.want, func(t *testing.T) {
			_, err := read(t, strings.Replace(whole, old, test.replacement, 1))
			require.EqualError(t, err, test.want)
		})
	}
}

func TestOnlyTheWordFinishFinishesWhatHasExpired(t *testing.T) {
	for written, finishes := range map[string]bool{"": false, `"expired": "drop",`: false, `"expired": "finish",`: true} {
		process, err := read(t, strings.Replace(whole, `"maxAttempts"`, written+`"maxAttempts"`, 1))
		require.NoError(t, err)
		require.Equal(t, finishes, process.Node.Finishes(), written)
	}
}
