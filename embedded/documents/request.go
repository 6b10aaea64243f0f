package documents

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// The MongoDB wire protocol: a header of 16 bytes (length, id, answered id, kind of message, each an int32, the lowest
// byte first), then the message. Drivers send OP_MSG; OP_QUERY is only how an old-fashioned greeting comes.
const (
	headerSize = 16
	maxMessage = 48_000_000 // what MongoDB takes, too

	opQuery   = 2004
	opMessage = 2013

	moreToCome = 1 << 1 // flag of OP_MSG: the client wants no answer

	// kind (1 byte), size of the document (4), type of its first element (1): what is in front of the command's name.
	toCommand = 6
	// maxCommand bounds the name of a command, with its end.
	maxCommand = 64
)

var errReset = syscall.ECONNRESET

// reads are the commands that change no document. Everything else waits for its turn.
var reads = map[string]bool{
	"aggregate": true, "buildInfo": true, "buildinfo": true, "collStats": true, "connectionStatus": true, "count": true,
	"currentOp": true, "dataSize": true, "dbStats": true, "distinct": true, "endSessions": true, "explain": true,
	"find": true, "getCmdLineOpts": true, "getLog": true, "getMore": true, "getParameter": true, "hello": true,
	"hostInfo": true, "isMaster": true, "ismaster": true, "killCursors": true, "listCollections": true,
	"listCommands": true, "listDatabases": true, "listIndexes": true, "ping": true, "serverStatus": true,
	"whatsmyuri": true,
}

// request is a message of a client whose beginning has been read.
type request struct {
	header []byte // and flags, where it is an OP_MSG
	rest   int64  // bytes that are still to be read
	write  bool
	silent bool // the client wants no answer
}

// readRequest reads as much of a message as tells whether it writes.
func readRequest(from *bufio.Reader) (request, error) {
	header := make([]byte, headerSize, headerSize+4)
	if _, err := io.ReadFull(from, header); err != nil {
		return request{}, err
	}
	size, kind := int32At(header, 0), int32At(header, 12)
	if size < headerSize || size > maxMessage {
		return request{}, fmt.Errorf("a message of %d bytes", size)
	}
	r := request{header: header, rest: int64(size) - headerSize}
	switch kind {
	case opQuery:
		return r, nil
	case opMessage:
		return r, r.readMessage(from)
	default:
		return request{}, fmt.Errorf("a message of kind %d, which nobody negotiated", kind)
	}
}

// readMessage looks at the flags and at the name of the command.
func (r *request) readMessage(from *bufio.Reader) error {
	if r.rest < 4 {
		return errors.New("a message without flags")
	}
	r.header = r.header[:headerSize+4]
	if _, err := io.ReadFull(from, r.header[headerSize:]); err != nil {
		return err
	}
	r.rest -= 4
	flags := binary.LittleEndian.Uint32(r.header[headerSize:])
	r.silent = flags&moreToCome != 0
	// FerretDB answers whether asked or not.
	binary.LittleEndian.PutUint32(r.header[headerSize:], flags&^moreToCome)

	start, err := from.Peek(int(min(r.rest, toCommand+maxCommand)))
	if err != nil {
		return err
	}
	r.write = !reads[command(start)]
	return nil
}

// command is the name of the command, which is the first element of the first document; empty where that is not what
// the message begins with.
func command(start []byte) string {
	if len(start) <= toCommand || start[0] != 0 {
		return ""
	}
	name, _, found := strings.Cut(string(start[toCommand:]), "\x00")
	if !found {
		return ""
	}
	return name
}

// forward hands the request on, waits for the answer and hands that back.
func (r *request) forward(s *session, fromClient, fromServer *bufio.Reader) error {
	if _, err := s.server.Write(r.header); err != nil {
		return err
	}
	if _, err := io.CopyN(s.server, fromClient, r.rest); err != nil {
		return err
	}
	return answer(s.client, fromServer, r.silent)
}

// answer hands one message of the server on, or drops it.
func answer(client net.Conn, fromServer *bufio.Reader, silent bool) error {
	header, err := fromServer.Peek(headerSize)
	if err != nil {
		return err
	}
	size := int64(int32At(header, 0))
	if size < headerSize || size > maxMessage {
		return fmt.Errorf("an answer of %d bytes", size)
	}
	to := io.Writer(client)
	if silent {
		to = io.Discard
	}
	_, err = io.CopyN(to, fromServer, size)
	return err
}

func int32At(b []byte, at int) int32 { return int32(binary.LittleEndian.Uint32(b[at:])) }
