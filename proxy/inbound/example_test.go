package inbound_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"

	"outrider/proxy/inbound"
)

func Example() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := inbound.New(inbound.Settings{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v, ok := inbound.Violation(r); ok {
			http.Error(w, v.Reason, v.Status)
			return
		}
		_, _ = io.WriteString(w, "fine\n")
	})})
	go func() { _ = server.Serve(listener) }()
	defer server.Close()

	c, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"+
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")
	br := bufio.NewReader(c)
	for range 2 {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		b, _ := io.ReadAll(resp.Body)
		fmt.Print(resp.StatusCode, " ", string(b))
	}
	// Output:
	// 200 fine
	// 400 Content-Length and Transfer-Encoding in one request
}
