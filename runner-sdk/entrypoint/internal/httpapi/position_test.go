package httpapi

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThePathOfAProblemIsThatOfItsPosition(t *testing.T) {
	const text = "{\"a\": 1, \"größe\": {\"b\": [true,\n {\"c\": \"x\"}, []]}, \"d\": 2}"
	for problem, want := range map[string]string{
		`(line 1:1): unexpected`:        "",
		`(line 1:2): unknown field "a"`: "a",
		`(line 1:7): invalid value`:     "a",
		`(line 1:10): unknown field`:    "größe",
		`(line 1:25): invalid value`:    "größe.b",
		`(line 1:26): invalid value`:    "größe.b[0]",
		`(line 2:2): invalid value`:     "größe.b[1]",
		`(line 2:3): unknown field`:     "größe.b[1].c",
		`(line 2:8): invalid value`:     "größe.b[1].c",
		`(line 2:14): unexpected token`: "größe.b[2]",
		`(line 2:25): invalid value`:    "d",
		`required field t.X.y not set`:  "",
		`(line nine:1): invalid`:        "",
		`(line 9:9): unexpected EOF`:    "",
	} {
		require.Equal(t, want, pathOf([]byte(text), problem), problem)
	}
}

func TestThePathInJSONThatIsCutShortIsAsFarAsItGoes(t *testing.T) {
	require.Equal(t, "a.b", pathOf([]byte(`{"a": {"b": tru`), `syntax error (line 1:13): invalid value tru`))
}

func FuzzAnyTextHasAPathOrNone(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":null}]}`), 1, 5)
	f.Add([]byte(`]`), 1, 1)
	f.Fuzz(func(t *testing.T, data []byte, line, column int) {
		offset := offsetOf(data, line, column)
		require.LessOrEqual(t, offset, len(data))
		require.LessOrEqual(t, len(pathAt(data, offset)), 210)
	})
}
