package egress_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"

	"outrider/proxy/egress"
)

// A guarded transport reaches the public internet and what it is told to, and
// says of everything else which setting would allow it.
func Example() {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "you asked for "+r.RequestURI)
	}))
	defer api.Close()

	call := func(g *egress.Guard) {
		tr, err := egress.New(egress.Settings{Guard: g})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer tr.Close()
		req, _ := http.NewRequest("GET", api.URL, nil)
		req.URL.Opaque = "//" + req.URL.Host + "/raw%2Fpath" // goes out as it is
		resp, err := tr.RoundTrip(req)
		var denied *egress.DeniedError
		if errors.As(err, &denied) {
			fmt.Printf("%s is %s; %s would allow it\n", denied.Addr.Addr(), denied.Reason, denied.Remedy)
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		fmt.Println(resp.Status, string(body))
	}
	ours := func(netip.AddrPort) bool { return false }
	call(egress.NewGuard(nil, ours))
	call(egress.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, ours))
	// Output:
	// 127.0.0.1 is not a public address; forward.allow_private would allow it
	// 200 OK you asked for /raw%2Fpath
}

// A tunnel's connection is dialled through the same guard.
func ExampleDialer() {
	ours := netip.MustParseAddrPort("127.0.0.1:8080") // where we listen
	guard := egress.NewOpenGuard(func(a netip.AddrPort) bool { return a == ours })
	_, err := egress.Dialer{Guard: guard}.Dial(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", "8080"))
	fmt.Println(err)
	// Output:
	// egress: address denied: 127.0.0.1:8080: 127.0.0.1:8080 is a listener of Outrider itself
}

// Which proxy a target goes through is decided once for all, and seen without
// its password.
func ExampleFixedProxy() {
	via, err := egress.FixedProxy("http://user:password@proxy.corp:3128", []string{".corp", "10.0.0.0/8"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, target := range []string{"https://api.example:443", "https://git.corp:443", "http://10.1.2.3:80"} {
		u, _ := url.Parse(target)
		fmt.Println(target, via(u))
	}
	_, err = egress.FixedProxy("socks5://user:password@proxy.corp:1080", nil)
	fmt.Println(err)
	// Output:
	// https://api.example:443 http://proxy.corp:3128
	// https://git.corp:443 direct
	// http://10.1.2.3:80 direct
	// the proxy's URL is neither http nor https: no other kind of proxy (SOCKS) is spoken to
}
