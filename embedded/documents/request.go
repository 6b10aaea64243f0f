package documents

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// The MongoDB wire protocol: a header of 16 bytes (length, id, answered id, kind of message, each an int32, the lowest
// byte first), then the message. Drivers send OP_MSG; OP_QUERY is only how an old-fashioned greeting comes.
const (
	headerSize = 16
	flagsSize  = 4
	maxMessage = 48_000_000 // what MongoDB takes, too

	opQuery   = 2004
	opMessage = 2013

	moreToCome = 1 << 1 // flag of OP_MSG: the client wants no answer

	// kind (1 byte), size of the document (4), type of its first element (1): what is in front of the command's name.
	toCommand = 6
)

// reads are the commands that change no document. Everything else waits for its turn.
var reads = map[string]bool{
	"aggregate": true, "buildInfo": true, "buildinfo": true, "collStats": true, "connectionStatus": true, "count": true,
	"currentOp": true, "dataSize": true, "dbStats": true, "distinct": true, "endSessions": true, "explain": true,
	"find": true, "getCmdLineOpts": true, "getLog": true, "getMore": true, "getParameter": true, "hello": true,
	"hostInfo": true, "isMaster": true, "ismaster": true, "killCursors": true, "listCollections": true,
	"listCommands": true, "listDatabases": true, "listIndexes": true, "ping": true, "serverStatus": true,
	"whatsmyuri": true,
}

// message is one as it is on the wire.
type message []byte

func (m message) id() int32 { return int32At(m, 4) }

// body is what follows header and flags of an OP_MSG.
func (m message) body() []byte { return m[headerSize+flagsSize:] }

// newMessage is an OP_MSG with that body.
func newMessage(id int32, body []byte) message {
	m := make(message, headerSize+flagsSize, headerSize+flagsSize+len(body))
	binary.LittleEndian.PutUint32(m, uint32(cap(m)))
	binary.LittleEndian.PutUint32(m[4:], uint32(id))
	binary.LittleEndian.PutUint32(m[12:], opMessage)
	return append(m, body...)
}

// newAnswer is an OP_MSG that answers another.
func newAnswer(request int32, body []byte) message {
	m := newMessage(request, body)
	binary.LittleEndian.PutUint32(m[8:], uint32(request))
	return m
}

// readMessage reads a whole message. One is held at a time and for each connection: a client that stops in the middle of
// one keeps nobody else from writing.
func readMessage(from *bufio.Reader) (message, error) {
	header, err := from.Peek(headerSize)
	if err != nil {
		return nil, err
	}
	size := int32At(header, 0)
	if size < headerSize || size > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	m := make(message, size)
	_, err = io.ReadFull(from, m)
	return m, err
}

// request is a message of a client.
type request struct {
	message
	command string // empty for an OP_QUERY
	silent  bool   // the client wants no answer
}

func readRequest(from *bufio.Reader) (request, error) {
	m, err := readMessage(from)
	if err != nil {
		return request{}, err
	}
	switch kind := int32At(m, 12); kind {
	case opQuery:
		return request{message: m}, nil
	case opMessage:
	default:
		return request{}, fmt.Errorf("a message of kind %d, which nobody negotiated", kind)
	}
	if len(m) < headerSize+flagsSize {
		return request{}, errors.New("a message without flags")
	}
	flags := binary.LittleEndian.Uint32(m[headerSize:])
	// FerretDB answers whether asked or not.
	binary.LittleEndian.PutUint32(m[headerSize:], flags&^moreToCome)
	return request{message: m, command: command(m.body()), silent: flags&moreToCome != 0}, nil
}

// write says whether a request has to wait for its turn: also where nobody can tell what it does.
func (r request) write() bool { return int32At(r.message, 12) == opMessage && !reads[r.command] }

// collection is the one a command names first, as those about documents do.
func (r request) collection() (collection, bool) {
	if r.command == "" {
		return collection{}, false
	}
	document, _, ok := bsoncore.ReadDocument(r.body()[1:])
	if !ok || document.Validate() != nil {
		return collection{}, false
	}
	database, known := document.Lookup("$db").StringValueOK()
	name, named := document.Lookup(r.command).StringValueOK()
	return collection{database: database, name: name}, known && named
}

// command is the name of the command, which is the first element of the first document; empty where that is not what
// the message begins with.
func command(body []byte) string {
	const maxCommand = 64
	if len(body) <= toCommand || body[0] != 0 {
		return ""
	}
	name, _, found := strings.Cut(string(body[toCommand:min(len(body), toCommand+maxCommand)]), "\x00")
	if !found {
		return ""
	}
	return name
}

func int32At(b []byte, at int) int32 { return int32(binary.LittleEndian.Uint32(b[at:])) }
