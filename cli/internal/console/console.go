// Package console is where a command reads and writes, and what is known of the person in front of it.
package console

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/cli/internal/terminal"
)

// Console is what a command reads from and writes to.
type Console struct {
	In       io.Reader
	Out, Err io.Writer
}

// OutTerminal tells whether a person looks at what is written to Out.
func (c *Console) OutTerminal() bool { return isTerminal(c.Out) }

// ErrTerminal tells whether a person looks at what is written to Err.
func (c *Console) ErrTerminal() bool { return isTerminal(c.Err) }

// InTerminal tells whether a person can be asked.
func (c *Console) InTerminal() bool { return isTerminal(c.In) }

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Size is that of the terminal; zeros where there is none.
func (c *Console) Size() (width, height int) {
	file, ok := c.Out.(*os.File)
	if !ok {
		return 0, 0
	}
	width, height, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}

// Color tells whether colours belong into Out.
func (c *Console) Color() bool {
	file, ok := c.Out.(*os.File)
	return ok && screen.WantsColor(file)
}

// Printer writes to Out for people.
func (c *Console) Printer() look.Printer { return look.Printer{Out: c.Out, Color: c.Color()} }

// Tell writes a line to Err: what is beside the answer. What others have written may be in it.
func (c *Console) Tell(format string, args ...any) {
	fmt.Fprintln(c.Err, terminal.Lines(fmt.Sprintf(format, args...))) //nolint:errcheck // nobody is left to be told
}

// Ask asks for a line.
func (c *Console) Ask(question string) (string, error) {
	fmt.Fprint(c.Err, question) //nolint:errcheck // nobody is left to be told
	line, err := bufio.NewReader(c.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// AskSecret asks for a line that is not shown; what is not typed by a person is read as a whole.
func (c *Console) AskSecret(question string) (string, error) {
	if file, ok := c.In.(*os.File); ok && c.InTerminal() {
		fmt.Fprint(c.Err, question) //nolint:errcheck // nobody is left to be told
		secret, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(c.Err) //nolint:errcheck // nobody is left to be told
		if err != nil {
			return "", fmt.Errorf("read the answer: %w", err)
		}
		return strings.TrimSpace(string(secret)), nil
	}
	const most = 64 << 10
	secret, err := io.ReadAll(io.LimitReader(c.In, most))
	if err != nil {
		return "", fmt.Errorf("read from standard input: %w", err)
	}
	return strings.TrimSpace(string(secret)), nil
}
