package dotenv_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/run/dotenv"
)

func TestReadsWhatPeopleWrite(t *testing.T) {
	tests := map[string]struct {
		content string
		want    map[string]string
	}{
		"nothing":                          {"", map[string]string{}},
		"a value":                          {"A=b", map[string]string{"A": "b"}},
		"spaces around":                    {"  A = b c  \n", map[string]string{"A": "b c"}},
		"no value":                         {"A=\nB=c", map[string]string{"A": "", "B": "c"}},
		"export":                           {"export A=b", map[string]string{"A": "b"}},
		"comments":                         {"# one\nA=b # two\nC=d#e\nF= # three\nG=#h", map[string]string{"A": "b", "C": "d#e", "F": "", "G": ""}},
		"equal signs in a value":           {"A=b=c", map[string]string{"A": "b=c"}},
		"Windows lines and mark":           {"\uFEFFA=b\r\nC=d\r\n", map[string]string{"A": "b", "C": "d"}},
		"the last one counts":              {"A=b\nA=c", map[string]string{"A": "c"}},
		"nothing is expanded":              {"A=$HOME", map[string]string{"A": "$HOME"}},
		"single quotes":                    {`A='b # "c" \n'`, map[string]string{"A": `b # "c" \n`}},
		"double quotes":                    {`A="b # 'c'\t\"\\\$\q" # d`, map[string]string{"A": "b # 'c'\t\"\\$\\q"}},
		"quotes over several lines":        {"A=\"b\nc\"\nD='e\nf'\nG=h", map[string]string{"A": "b\nc", "D": "e\nf", "G": "h"}},
		"a quoted line that goes on":       {"A=\"b\\\nc\"", map[string]string{"A": "bc"}},
		"empty quotes":                     {`A=""`, map[string]string{"A": ""}},
		"a quote inside a value is itself": {`A=it's`, map[string]string{"A": "it's"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := dotenv.Parse(test.content)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestNamesTheLineThatIsWrong(t *testing.T) {
	tests := map[string]struct{ content, want string }{
		"no equal sign":     {"A=b\n\nC", `line 3: "C" is no KEY=VALUE`},
		"bad key":           {"A=b\n1C=d", `line 2: "1C" is no name of a variable (letters, digits and _)`},
		"open quotes":       {"A=b\nC=\"d\ne", `line 2: the quotes around the value of C are not closed`},
		"more after quotes": {"A='b\nc' d", `line 2: "d" follows the value of A; a quote inside quotes needs a backslash`},
		"after long quotes": {"A=\"b\nc\"\nD", `line 3: "D" is no KEY=VALUE`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := dotenv.Parse(test.content)
			require.EqualError(t, err, test.want)
		})
	}
}
