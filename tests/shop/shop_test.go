// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var self = identity{Service: "test", Pod: "test-0"}

func TestBytesAndSink(t *testing.T) {
	server := httptest.NewServer(newMux(self))
	defer server.Close()
	const size = 3*256<<10 + 7
	response, err := http.Get(fmt.Sprintf("%s/bytes?n=%d", server.URL, size))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if count, err := io.Copy(io.Discard, response.Body); err != nil || count != size || response.ContentLength != size {
		t.Errorf("downloaded %d of %d bytes, length %d: %v", count, size, response.ContentLength, err)
	}
	upload, err := http.Post(server.URL+"/sink", "", strings.NewReader(strings.Repeat("x", size)))
	if err != nil {
		t.Fatal(err)
	}
	defer upload.Body.Close()
	var counted struct{ Bytes int64 }
	if err := json.NewDecoder(upload.Body).Decode(&counted); err != nil || counted.Bytes != size {
		t.Errorf("uploaded %d of %d bytes: %v", counted.Bytes, size, err)
	}
	for _, bad := range []string{"", "?n=-1", "?n=many", "?n=9000000000000000000"} {
		response, err := http.Get(server.URL + "/bytes" + bad)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("/bytes%s: %s", bad, response.Status)
		}
	}
}

func TestFrontHandsOnHeaders(t *testing.T) {
	catalog := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { respond(w, newAnswer(self, r)) }))
	defer catalog.Close()
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Header.Set("Baggage", "fairlead=me")
	request.Header.Set("X-Fairlead", "me")
	request.Header.Set("Cookie", "secret")
	body, err := fetch(request, catalog.Client(), catalog.URL)
	if err != nil {
		t.Fatal(err)
	}
	var got answer
	if err := json.Unmarshal(body, &got); err != nil || len(got.Headers) != 2 || got.Headers["Baggage"] != "fairlead=me" {
		t.Errorf("the catalog saw %v: %v", got.Headers, err)
	}
}

func TestPricing(t *testing.T) {
	server := httptest.NewUnstartedServer(pricingHandler(self))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	conn, err := grpc.NewClient(strings.TrimPrefix(server.URL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	asked := httptest.NewRequest(http.MethodGet, "/price/winch", nil)
	asked.Header.Set("Baggage", "fairlead=me")
	if price, err := (prices{conn}).quote(asked, "winch"); err != nil || !strings.HasPrefix(price, "winch costs ") {
		t.Errorf("price %q: %v", price, err)
	}
	quote := new(wrapperspb.StringValue)
	if err := conn.Invoke(t.Context(), "/shop.Pricing/Quote", wrapperspb.String("winch"), quote); err != nil || !strings.Contains(quote.Value, "says test-0") {
		t.Errorf("quote %q: %v", quote.Value, err)
	}
	stream, err := conn.NewStream(t.Context(), &pricingService.Streams[0], "/shop.Pricing/Watch")
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range []string{"anchor", "shackle"} {
		if err := stream.SendMsg(wrapperspb.String(item)); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(quote); err != nil || !strings.HasPrefix(quote.Value, item) {
			t.Errorf("streamed quote %q: %v", quote.Value, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(quote); err != io.EOF {
		t.Errorf("end of stream: %v", err)
	}
	health, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || health.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health %v: %v", health, err)
	}
	response, err := http.Get(server.URL + "/hello")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "hello from test-0\n" {
		t.Errorf("plain HTTP on the same port: %q, %v", body, err)
	}
}

func TestWebSocketEchoes(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { echoMessages(w, r, self) }))
	defer server.Close()
	conn, _, err := websocket.Dial(t.Context(), server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	for _, message := range []string{"hello", strings.Repeat("long", 100_000), whoami} {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		conn.SetReadLimit(1 << 20)
		_, got, err := conn.Read(t.Context())
		want := message
		if message == whoami {
			want = string(got)
		}
		if err != nil || string(got) != want || message == whoami && !strings.HasPrefix(want, "test-0 sees ") {
			t.Errorf("%.20s came back as %.40s: %v", message, got, err)
		}
	}
}

func TestLedgerKeepsHalfClosedConnections(t *testing.T) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.AcceptTCP()
		if err == nil {
			echoBytes(t.Context(), conn, func(*net.TCPConn) string { return "welcome\n" })
		}
	}()
	conn, err := net.DialTCP("tcp", nil, listener.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "entry"); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "welcome\nentry" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestEchoOfDatagrams(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- echoDatagrams(server, self) }()
	conn, err := net.Dial("udp", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for message, want := range map[string]string{"ping": "ping", whoami: "test-0 sees " + conn.LocalAddr().String(), "": ""} {
		if _, err := conn.Write([]byte(message)); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 100)
		size, err := conn.Read(buffer)
		if err != nil || string(buffer[:size]) != want {
			t.Errorf("%q came back as %q, want %q: %v", message, buffer[:size], want, err)
		}
	}
	server.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
