package simulator_test

import (
	"fmt"
	"log"
	"net"
	"net/http"

	"outrider/proxy/simulator"
)

// A provider that fails twice before it works, and counts what it saw.
func Example() {
	sim, err := simulator.New(simulator.Settings{Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go sim.Serve(ln)
	defer sim.Close()

	for range 3 {
		resp, err := http.Get("http://" + ln.Addr().String() + "/fault/503?times=2&key=demo&retry_after=1")
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		fmt.Printf("%d %q\n", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	fmt.Println(sim.Stats().Statuses)
	// Output:
	// 503 "1"
	// 503 "1"
	// 200 ""
	// map[200:1 503:2]
}
