package instance

import (
	"encoding/json"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/log"
)

// What an instance can be told on its control subject.
const (
	commandReport = "report" // to say how things are
	commandMove   = "move"   // to lead the connections that are open to their end
	commandClose  = "close"  // to refuse new calls
	commandOpen   = "open"   // to take calls again
)

type command struct {
	Command string `json:"command"`
}

// Report is what an instance answers on its control subject.
type Report struct {
	Instance string `json:"instance"`        // its id, anew at each start
	Waiting  int    `json:"waiting"`         // callers that wait for their answers
	Closed   bool   `json:"closed"`          // it takes no new calls
	Moving   int    `json:"moving"`          // connections that were open at the last move and have not ended
	Error    string `json:"error,omitempty"` // it did not understand what it was told
}

// command does what a request on the control subject says, and answers with how things are then.
func (i *Instance) command(request []byte) []byte {
	var asked command
	err := json.Unmarshal(request, &asked)
	if err == nil {
		err = i.obey(asked.Command)
	}
	report := i.Report()
	if err != nil {
		i.logger.Warn("passing over a command", log.Error(err))
		report.Error = err.Error()
	}
	answer, err := json.Marshal(report)
	if err != nil { // numbers and text
		i.logger.Error("answering a command", log.Error(err))
	}
	return answer
}

func (i *Instance) obey(what string) error {
	switch what {
	case commandReport:
		return nil
	case commandMove:
		i.Move()
	case commandClose:
		i.Close()
	case commandOpen:
		i.Reopen()
	default:
		return fmt.Errorf("command %q: want %s, %s, %s or %s", what, commandReport, commandMove, commandClose, commandOpen)
	}
	i.logger.Info("told to", zap.String("command", what))
	return nil
}

// Report says how the instance is.
func (i *Instance) Report() Report {
	return Report{
		Instance: i.id, Waiting: i.exchange.Waiting(), Closed: i.exchange.Closed(), Moving: i.grpc.Moving() + i.http.Moving(),
	}
}

// moveAgain is after which time a move is made once more: for connections that had been led here before, and were still
// waiting to be accepted.
const moveAgain = time.Second

// Move leads every connection that is open to its end, in order and without a failed call: gRPC by GOAWAY, HTTP by
// `Connection: close` with the next answer. New connections are served. It does not wait.
func (i *Instance) Move() {
	i.move()
	time.AfterFunc(moveAgain, i.move)
}

func (i *Instance) move() {
	i.control.Lock()
	defer i.control.Unlock()
	if i.stopping {
		return
	}
	i.grpc.Move()
	i.http.Move()
}

// Close refuses new calls until Reopen; those that wait get their answers. Connections stay.
func (i *Instance) Close() {
	i.control.Lock()
	defer i.control.Unlock()
	i.exchange.Close()
	i.health()
}

// Reopen takes calls again.
func (i *Instance) Reopen() {
	i.control.Lock()
	defer i.control.Unlock()
	i.exchange.Open()
	i.health()
}

// health tells gRPC's callers whether calls are taken. The lock is held.
func (i *Instance) health() {
	if !i.stopping {
		i.grpc.SetServing(i.exchange.Serving())
	}
}
