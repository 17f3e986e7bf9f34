package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// A Held is connections that are open, and have had the answer to one call each.
type Held struct {
	mu          sync.Mutex
	connections []net.Conn
}

// Hold opens so many connections to address, a few at a time. They stay until Release.
func Hold(ctx context.Context, address string, count int) (*Held, error) {
	const atATime = 8
	held := &Held{}
	next := make(chan struct{}, count)
	for range count {
		next <- struct{}{}
	}
	close(next)
	failed := make(chan error, atATime)
	var openers sync.WaitGroup
	for range atATime {
		openers.Go(func() {
			for range next {
				if err := held.open(ctx, address); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	openers.Wait()
	close(failed)
	if err := <-failed; err != nil {
		held.Release()
		return nil, fmt.Errorf("holding connections: %w", err)
	}
	return held, nil
}

// Release closes them all.
func (h *Held) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, conn := range h.connections {
		_ = conn.Close()
	}
	h.connections = nil
}

func (h *Held) open(ctx context.Context, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.connections = append(h.connections, conn)
	h.mu.Unlock()
	_, err = get(conn, bufio.NewReaderSize(conn, 1024), "/", io.Discard)
	return err
}

// get makes a call on a connection, and says how long the body was.
func get(conn io.Writer, from *bufio.Reader, target string, body io.Writer) (int64, error) {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\r\n", target); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, errors.New("the answer is " + resp.Status)
	}
	return io.Copy(body, resp.Body)
}
