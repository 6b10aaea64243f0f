package documents_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/konstellation-io/kre/embedded/documents"
)

// serve names the directory that a child of this test serves.
const serve = "KRE_TEST_SERVE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serve); dir != "" {
		s, err := documents.Start(context.Background(), documents.Options{Dir: dir})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(s.URI())
		select {} // until it is killed
	}
	os.Exit(m.Run())
}

func TestKeepsWhatItConfirmedWhenItsProcessIsKilled(t *testing.T) {
	dir := t.TempDir()
	const rounds, each = 3, 50
	for round := range rounds {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), serve+"="+dir)
		var stderr strings.Builder
		child.Stderr = &stderr
		stdout, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		uri, err := bufio.NewReader(stdout).ReadString('\n')
		require.NoError(t, err)

		things, disconnect := dial(t, strings.TrimSpace(uri))
		for i := range each {
			_, err := things.InsertOne(t.Context(), bson.M{"_id": fmt.Sprintf("%d/%d", round, i)})
			require.NoError(t, err)
		}
		disconnect() // which would wait for a server that is gone
		require.NoError(t, child.Process.Signal(syscall.SIGKILL))
		require.Error(t, child.Wait())
		require.Empty(t, stderr.String(), "it tells nobody but its logger")
	}

	s := start(t, documents.Options{Dir: dir})
	n, err := connect(t, s.URI()).CountDocuments(t.Context(), bson.M{})
	require.NoError(t, err)
	require.EqualValues(t, rounds*each, n)
}
