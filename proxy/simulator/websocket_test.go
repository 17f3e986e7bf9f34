package simulator_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"outrider/proxy/simulator"
)

func TestWebSocketEchoesFrames(t *testing.T) {
	_, base, client := serve(t, simulator.Settings{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: sim.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The example of RFC 6455 section 1.3.
	if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	long := bytes.Repeat([]byte("x"), 70_000)
	for _, c := range []struct {
		first, answer byte
		payload       []byte
	}{
		{0x81, 0x81, []byte("hello")},
		{0x02, 0x02, bytes.Repeat([]byte("y"), 300)}, // a fragment
		{0x89, 0x8A, []byte("ping")},                 // between fragments
		{0x80, 0x80, nil},
		{0x82, 0x82, long},
		{0x88, 0x88, binary.BigEndian.AppendUint16(nil, 1000)},
	} {
		conn.Write(masked(c.first, c.payload))
		first, payload := frame(t, r)
		if first != c.answer || !bytes.Equal(payload, c.payload) {
			t.Errorf("%#x: %#x with %d bytes", c.first, first, len(payload))
		}
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the close: %v", err)
	}

	if code, _, _ := fetch(client, base+"/ws"); code != http.StatusUpgradeRequired {
		t.Errorf("without a handshake: %d", code)
	}
}

func masked(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := []byte{1, 2, 3, 4}
	b = append(b, mask...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

// frame reads a frame of a server, which is not masked.
func frame(t *testing.T, r *bufio.Reader) (first byte, payload []byte) {
	t.Helper()
	var b [8]byte
	if _, err := io.ReadFull(r, b[:2]); err != nil {
		t.Fatal(err)
	}
	first = b[0]
	n := uint64(b[1])
	switch n {
	case 126:
		io.ReadFull(r, b[:2])
		n = uint64(binary.BigEndian.Uint16(b[:2]))
	case 127:
		io.ReadFull(r, b[:8])
		n = binary.BigEndian.Uint64(b[:8])
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		t.Fatal(err)
	}
	return first, payload
}
