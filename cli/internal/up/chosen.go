package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/konstellation-io/kre/kit/ports"
)

// chosen are the ports of the engine. They are kept: processes of runtimes outlive a kre up that is killed, and look for
// the stores where they were.
type chosen struct {
	NATS      int `json:"nats"`
	Objects   int `json:"objects"`
	HTTP      int `json:"http"`
	GRPC      int `json:"grpc"`
	FirstGRPC int `json:"runtime_grpc"`
	FirstHTTP int `json:"runtime_http"`
}

// wanted is what a person asked for; 0: any.
type wanted struct{ http, grpc, firstGRPC, firstHTTP int }

// choosePorts takes what was kept where it is free, and keeps what it takes. taken is told of a port that a person wanted
// and does not get.
func choosePorts(ctx context.Context, file string, want wanted, taken func(wanted, got int)) (chosen, error) {
	var c chosen
	content, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(content, &c)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return chosen{}, fmt.Errorf("cannot read which ports were chosen: %w; remove %s to choose new ones", err, file)
	}
	p := picker{used: make(map[int]bool), settled: time.Now().Add(settling)}
	for _, port := range []struct {
		kept   *int
		wanted int
	}{{&c.HTTP, want.http}, {&c.GRPC, want.grpc}} {
		got, err := p.pick(ctx, port.wanted, *port.kept)
		if err != nil {
			return chosen{}, err
		}
		if *port.kept = got; port.wanted != 0 && got != port.wanted {
			taken(port.wanted, got)
		}
	}
	for _, kept := range []*int{&c.NATS, &c.Objects} {
		if *kept, err = p.pick(ctx, 0, *kept); err != nil {
			return chosen{}, err
		}
	}
	// k8s-manager itself counts up from these, past those that are taken: by its own runtimes, too.
	for _, first := range []struct {
		kept   *int
		wanted int
	}{{&c.FirstGRPC, want.firstGRPC}, {&c.FirstHTTP, want.firstHTTP}} {
		if first.wanted != 0 {
			*first.kept = first.wanted
		} else if *first.kept, err = p.pick(ctx, 0, *first.kept); err != nil {
			return chosen{}, err
		}
	}
	return c, writeJSON(file, c)
}

// settling is how long a kept port may still be held by what a killed kre up has left.
const settling = 2 * time.Second

// picker never gives a port twice.
type picker struct {
	used    map[int]bool
	settled time.Time
}

// pick is the wanted port if it is free, else the kept one, else another; 0 stands for none.
func (p picker) pick(ctx context.Context, wanted, kept int) (int, error) {
	for wanted == 0 || wanted == kept {
		if kept == 0 || ports.Free(ports.Loopback, kept) || time.Now().After(p.settled) {
			break
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	for _, port := range []int{wanted, kept} {
		if port != 0 && p.take(port) {
			return port, nil
		}
	}
	return ports.Pick(p.reserve)
}

func (p picker) take(port int) bool { return ports.Free(ports.Loopback, port) && p.reserve(port) }

func (p picker) reserve(port int) bool {
	if p.used[port] {
		return false
	}
	p.used[port] = true
	return true
}
