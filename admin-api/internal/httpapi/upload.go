package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/kit/fault"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

const (
	// chunkSize is how much of a package one message carries.
	chunkSize = 256 << 10
	// maxComment bounds the field of a form; what is right, the call says.
	maxComment = 16 << 10
	// A caller that is refused while it still sends is read from for so long, and so far, that it comes to read the answer:
	// not every client looks for one before it has sent everything.
	drainPatience = 10 * time.Second
	drainLimit    = 256 << 20
)

// upload passes the body on to UploadVersion as it arrives. Its first read is what makes the server tell a caller that
// expects it (100-continue) to go on: by then the caller is known.
func (a *api) upload(w http.ResponseWriter, r *http.Request, params map[string]string) {
	body := &patient{body: r.Body, control: http.NewResponseController(w), patience: a.uploadPatience}
	source, comment, err := opened(r, body)
	if err != nil {
		a.refused(w, r, body, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel() // of a stream that has not been closed it is what leaves nothing behind
	ctx, err = runtime.AnnotateContext(ctx, a.mux, r, adminv1.VersionService_UploadVersion_FullMethodName)
	if err != nil {
		a.refused(w, r, body, err)
		return
	}
	stream, err := a.versions.UploadVersion(ctx)
	if err != nil {
		a.refused(w, r, body, err)
		return
	}
	version, err := send(stream, params["parent"], comment, source)
	if err != nil {
		cancel() // of a call that has been answered it changes nothing; any other must not wait for us
	}
	if header, headerErr := stream.Header(); headerErr == nil {
		told(w, header)
	}
	if err != nil {
		a.refused(w, r, body, err)
		return
	}
	runtime.ForwardResponseMessage(r.Context(), a.mux, a.json, w, r, version)
}

// send passes the package on. An answer that comes before its end ends it.
func send(stream grpc.ClientStreamingClient[adminv1.UploadVersionRequest, adminv1.Version], parent, comment string, source *pkg,
) (*adminv1.Version, error) {
	buffer := make([]byte, chunkSize)
	message := &adminv1.UploadVersionRequest{Parent: parent, Comment: comment}
	for {
		n, readErr := io.ReadFull(source, buffer)
		ended := errors.Is(readErr, io.EOF) || errors.Is(readErr, io.ErrUnexpectedEOF) && source.ended
		if readErr != nil && !ended {
			return nil, broken(readErr)
		}
		message.Chunk = buffer[:n]
		if n > 0 || message.GetParent() != "" {
			if err := stream.Send(message); errors.Is(err, io.EOF) {
				return stream.CloseAndRecv() // it is refused: the answer is there
			} else if err != nil {
				return nil, err
			}
		}
		if ended {
			return stream.CloseAndRecv()
		}
		message.Parent, message.Comment = "", ""
	}
}

func broken(err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	return fault.Wrap(fault.Invalid, err, "the package did not arrive whole; nothing of it is kept").
		For(adminv1.ErrorReason_ERROR_REASON_INVALID_PACKAGE.String())
}

// refused answers an upload with an error. The answer goes out while the body still comes in.
func (a *api) refused(w http.ResponseWriter, r *http.Request, body *patient, err error) {
	if body.ended {
		a.failed(w, r, err)
		return
	}
	// Without it, the server would read on before it answers, and cut the connection with the answer in it.
	duplexErr := body.control.EnableFullDuplex()
	w.Header().Set("Connection", "close")
	a.failed(w, r, err)
	waits := r.Header.Get("Expect") != "" && !body.begun // and has sent nothing
	if duplexErr != nil || body.control.Flush() != nil || waits {
		return
	}
	if body.control.SetReadDeadline(time.Now().Add(drainPatience)) == nil {
		_, _ = io.CopyN(io.Discard, r.Body, drainLimit) // however it ends, there is nothing else to do
	}
}

// patient is a body that may arrive slowly but not stand still.
type patient struct {
	body         io.Reader
	control      *http.ResponseController
	patience     time.Duration
	begun, ended bool
}

// Read gives the next bytes of the body.
func (p *patient) Read(into []byte) (int, error) {
	p.begun = true
	if err := p.control.SetReadDeadline(time.Now().Add(p.patience)); err != nil {
		return 0, err
	}
	n, err := p.body.Read(into)
	p.ended = errors.Is(err, io.EOF)
	return n, err
}

// pkg is the package in a request.
type pkg struct {
	io.Reader
	ended bool
	after func() error // looks at what follows the package
}

// Read gives the next bytes of the package.
func (p *pkg) Read(into []byte) (int, error) {
	n, err := p.Reader.Read(into)
	if errors.Is(err, io.EOF) && !p.ended {
		p.ended = true
		if p.after != nil {
			if err := p.after(); err != nil {
				p.ended = false
				return n, err
			}
		}
	}
	return n, err
}

// opened finds the package and the comment: in the body and the query, or in a form.
func opened(r *http.Request, body io.Reader) (*pkg, string, error) {
	comment := r.URL.Query().Get("comment")
	kind, attributes, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "multipart/form-data" { // whatever else it is called, it is the package
		return &pkg{Reader: body}, comment, nil
	}
	if err != nil || attributes["boundary"] == "" {
		return nil, "", badForm("the form's Content-Type has no boundary")
	}
	form := multipart.NewReader(bufio.NewReaderSize(body, chunkSize), attributes["boundary"])
	for {
		part, err := form.NextPart()
		switch {
		case errors.Is(err, io.EOF):
			return nil, "", badForm("the form has no file; send the package as its one file, or as the body itself")
		case err != nil:
			return nil, "", broken(err)
		case part.FileName() != "":
			return &pkg{Reader: part, after: func() error { return last(form) }}, comment, nil
		case part.FormName() != "comment":
			return nil, "", badForm(fmt.Sprintf("the form has a field %q; there are a file and `comment`", part.FormName()))
		}
		text, err := io.ReadAll(io.LimitReader(part, maxComment))
		if err != nil {
			return nil, "", broken(err)
		}
		comment = string(text)
	}
}

// last refuses what follows the file: it would do nothing unseen.
func last(form *multipart.Reader) error {
	part, err := form.NextPart()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return broken(err)
	case part.FileName() != "":
		return badForm("the form has a second file; one package is one version")
	}
	return badForm(fmt.Sprintf("the field %q comes after the file; put it before", part.FormName()))
}

func badForm(message string) error {
	return fault.New(fault.Invalid, "%s", message).For(adminv1.ErrorReason_ERROR_REASON_INVALID_REQUEST.String())
}
