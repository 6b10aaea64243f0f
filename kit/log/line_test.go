package log_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/log"
)

func TestAnObjectThatWasCutInATextGetsAnEnd(t *testing.T) {
	for cut, want := range map[string]string{
		`{"message":"it was lo`:      `{"message":"it was lo"}`,
		` {"message":"a","stack":"b`: ` {"message":"a","stack":"b"}`,
		`{"message":"a\`:             `{"message":"a"}`,
		`{"message":"a\u00`:          `{"message":"a"}`,
		`{"message":"a\u001`:         `{"message":"a"}`,
		`{"message":{"a":1`:          "",
		`["a`:                        "",
		`no object`:                  "",
		``:                           "",
	} {
		require.Equal(t, want, string(log.Mended(cut)), cut)
	}
}
