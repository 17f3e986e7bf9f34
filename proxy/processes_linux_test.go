package proxy

import (
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

// dialFrom connects from an address that other connections may have as well, to other servers.
func dialFrom(t *testing.T, from net.Addr, to net.Listener) *net.TCPConn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: from, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		controlErr := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		})
		if controlErr != nil {
			return controlErr
		}
		return err
	}}
	conn, err := dialer.DialContext(t.Context(), "tcp", to.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// hold has another process hold a connection in our place, and gives its number.
func hold(t *testing.T, conn *net.TCPConn) int {
	t.Helper()
	file, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	holder := exec.CommandContext(t.Context(), "cat") // until its input ends
	input, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	holder.ExtraFiles = []*os.File{file}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_ = holder.Wait()
	})
	_ = file.Close()
	_ = conn.Close()
	return holder.Process.Pid
}

// The kernel tells connections apart by both of their ends, so that the same end may be that of
// several, to different servers, and of different programs. Who called another server was taken
// for our caller, and waited in its place.
func TestCallerIsNotWhoHasTheSameEndOfAnotherConnection(t *testing.T) {
	var listeners [2]net.Listener
	for i := range listeners {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		listeners[i] = listener
	}
	ours, another := listeners[0], listeners[1]
	client := dialFrom(t, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, ours)
	end := client.LocalAddr()
	conn, err := ours.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	want := "process " + strconv.Itoa(hold(t, client))
	dialFrom(t, end, another)
	s := &Server{}
	p := peerOf(httptest.NewRequestWithContext(s.connContext(t.Context(), conn), "GET", "/", nil))
	if got := p.caller(); got != want {
		t.Errorf("it is %q, want %q, and we are process %d", got, want, os.Getpid())
	}
}

func TestLinesOfTheTableOfConnections(t *testing.T) {
	for line, want := range map[string]string{
		"   0: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 20 4 30 10 -1":                                                 "socket:[4711] 127.0.0.1:8080 127.0.0.1:54321",
		"   1: 00000000000000000000000001000000:0050 00000000000000000000000001000000:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0000000000000000 20 4 30 10 -1": "socket:[4712] [::1]:80 [::1]:54321",
		"   2: 0000000000000000FFFF00000100007F:0050 0000000000000000FFFF00000100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4713 1 0000000000000000 20 4 30 10 -1": "socket:[4713] 127.0.0.1:80 127.0.0.1:54321",
		"   3: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4714 1":                                                                                "",
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode":                                                                                 "",
		"   4: 0100007:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1":                                                                                 "",
		"   5: 0100007F:1F90F 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1":                                                                               "",
		"   6: 01:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1":                                                                                      "",
		"   7: 0100007F:1F90 01:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1":                                                                                      "",
		"": "",
	} {
		got := ""
		if socket, connection, ok := parseSocket(line); ok {
			got = socket + " " + connection.client.String() + " " + connection.server.String()
		}
		if got != want {
			t.Errorf("%q is read as %q, want %q", line, got, want)
		}
	}
}
