package versions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/output"
	"github.com/konstellation-io/kre/cli/internal/pack"
	"github.com/konstellation-io/kre/cli/internal/remote"
	"github.com/konstellation-io/kre/cli/internal/terminal"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Create is `kre version create`.
type Create struct {
	remote.RuntimeFlags
	output.Format
	remote.Why
	Package string `arg:"" optional:"" default:"." type:"path" placeholder:"FILE.krt|PROJECT" help:"A .krt file, or the folder of a project, which is packed first."`
}

// Help is shown below the flags.
func (*Create) Help() string {
	return `Examples:
  kre version create prices-v2.krt --comment "cheaper by the dozen"
  kre version create                          of the project in this folder
  name=$(kre version create . -o json | jq -r '.name | split("/")[-1]')

The engine refuses a package as early as its manifest allows, with every complaint; then nothing of it is kept. Values that
the version before was told are taken over.`
}

// Run makes a version.
func (c *Create) Run(ctx context.Context, con *console.Console) error {
	e, runtime, err := c.RuntimeFlags.Open()
	if err != nil {
		return err
	}
	defer e.Close()
	file, remove, err := c.file(ctx, con)
	if err != nil {
		return err
	}
	defer remove()
	made, err := upload(ctx, e, con, sending{runtime: runtime, file: file, title: filepath.Base(c.Package), comment: c.Comment})
	if err != nil {
		return err
	}
	if c.Structured() {
		return c.Message(con.Out, made)
	}
	name := remote.Last(made.GetName())
	p := con.Printer()
	p.Line("%s version %s is there", p.Paint(look.Green, "✓"), name)
	for _, warning := range made.GetWarnings() {
		con.Tell("warning: %s", terminal.Clean(warning))
	}
	if missing := made.GetMissingConfig(); len(missing) > 0 {
		con.Tell("Before it can start: kre version config set %s %s=VALUE", name, strings.Join(missing, "=VALUE "))
	} else {
		con.Tell("kre version start %s makes it run.", name)
	}
	return nil
}

// file is the package to send, which is made of a project where one was named; remove takes it away again.
func (c *Create) file(ctx context.Context, con *console.Console) (file string, remove func(), err error) {
	info, err := os.Stat(c.Package)
	if err != nil {
		return "", nil, fmt.Errorf("%s does not exist; name a .krt or a project's folder", c.Package)
	}
	extension := strings.ToLower(filepath.Ext(c.Package))
	if !info.IsDir() && extension != ".yml" && extension != ".yaml" {
		return c.Package, func() {}, nil
	}
	work, err := os.MkdirTemp("", "kre-create-*")
	if err != nil {
		return "", nil, fmt.Errorf("pack: %w", err)
	}
	remove = func() { os.RemoveAll(work) } //nolint:errcheck // the system's folder for such things
	file = filepath.Join(work, "version.krt")
	progress, _ := con.Err.(*os.File)
	_, _, err = pack.To(ctx, pack.Options{
		Project: c.Package, Output: file, Notes: look.Printer{Out: con.Err, Color: con.Color() && con.ErrTerminal()}, Progress: progress,
	})
	if err != nil {
		remove()
		return "", nil, err
	}
	return file, remove, nil
}

// chunkBytes is how much is sent at a time; an engine takes 1 MiB at most.
const chunkBytes = 256 << 10

// sending is a package on its way.
type sending struct {
	runtime string // resource name
	file    string
	title   string // what a person called it
	comment string
}

// upload sends a package.
func upload(ctx context.Context, e *remote.Engine, con *console.Console, s sending) (*adminv1.Version, error) {
	tried := "create a version of " + s.title
	content, err := os.Open(s.file)
	if err != nil {
		return nil, fmt.Errorf("cannot %s: %w", tried, err)
	}
	defer content.Close() //nolint:errcheck // only read
	info, err := content.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot %s: %w", tried, err)
	}
	ctx, cancel := context.WithCancel(ctx) // a file that cannot be read cuts the upload
	defer cancel()
	stream, err := e.Versions.UploadVersion(ctx)
	if err != nil {
		return nil, e.Explain(tried, err)
	}
	sent, done := uploadBar(con, info.Size())
	defer done()
	request := &adminv1.UploadVersionRequest{Parent: s.runtime, Comment: s.comment}
	chunk := make([]byte, chunkBytes)
	for last := false; !last; {
		n, err := io.ReadFull(content, chunk)
		last = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return nil, fmt.Errorf("cannot %s: %w", tried, err)
		}
		request.Chunk = chunk[:n]
		if stream.Send(request) != nil {
			break // the answer tells why
		}
		sent(n)
		request = &adminv1.UploadVersionRequest{}
	}
	made, err := stream.CloseAndRecv()
	return made, e.Explain(tried, err)
}

// uploadBar shows on a terminal how much is sent; elsewhere it shows nothing.
func uploadBar(con *console.Console, size int64) (sent func(n int), done func()) {
	if !con.ErrTerminal() {
		return func(int) {}, func() {}
	}
	bars := mpb.New(mpb.WithOutput(con.Err), mpb.WithWidth(40))
	bar := bars.New(max(size, 1), mpb.BarStyle().Rbound("|"), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name("upload ")), mpb.AppendDecorators(decor.CountersKibiByte(" % .1f / % .1f")))
	return bar.IncrBy, func() {
		bar.Abort(true)
		bars.Wait()
	}
}
