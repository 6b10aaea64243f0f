package pull

import (
	"time"

	"github.com/nats-io/nats.go"
)

// Delivery is a message that is held: kept in progress until it is acknowledged or given back.
type Delivery struct {
	Stream    string
	Sequence  uint64 // in the stream
	Subject   string
	Header    map[string][]string
	Body      []byte
	Delivered uint64    // how often the broker has delivered it, from 1
	Stored    time.Time // by the broker's clock
	Received  time.Time // by this process's
	Attempts  int       // by this process, so far
	Failure   error     // of the last attempt
	Answered  bool      // an attempt has answered the caller
	Asked     bool      // whether its caller still waits was asked since then

	ack    string // subject
	source int
	state  state
	turn   uint64 // when it had its turn, among others
}

type state int

const (
	queued    state = iota // waits for its turn
	running                // is in its handler
	postponed              // waits for its next attempt
	returned               // has left its handler and waits for confirmations
)

type key struct {
	source   int
	sequence uint64
}

func (d *Delivery) key() key { return key{d.source, d.Sequence} }

func (d *Delivery) counts() bool { return d.state == queued || d.state == running }

func newDelivery(source int, msg *nats.Msg) (*Delivery, error) {
	metadata, err := msg.Metadata()
	if err != nil {
		return nil, err // the caller says what it was about
	}
	return &Delivery{
		Stream: metadata.Stream, Sequence: metadata.Sequence.Stream, Subject: msg.Subject, Header: msg.Header, Body: msg.Data,
		Delivered: metadata.NumDelivered, Stored: metadata.Timestamp, Received: time.Now(),
		ack: msg.Reply, source: source,
	}, nil
}
