// SPDX-License-Identifier: Apache-2.0

package control

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

func TestEndWithoutGoodbye(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for name, c := range map[string]struct {
		end  func(*tls.Conn) error
		want error
	}{
		"goodbye":         {(*tls.Conn).CloseWrite, nil},
		"goodbye and end": {(*tls.Conn).Close, nil},
		"end without":     {func(c *tls.Conn) error { return c.NetConn().Close() }, io.ErrUnexpectedEOF},
	} {
		go func() {
			plain, err := listener.Accept()
			if err != nil {
				return
			}
			conn := tls.Server(plain, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}})
			_, _ = io.WriteString(conn, "half an answer")
			_ = c.end(conn)
		}()
		plain, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		wire := &network{Conn: plain}
		flow := flowConn{tls.Client(wire, &tls.Config{InsecureSkipVerify: true}), wire}
		if got, err := io.ReadAll(flow); string(got) != "half an answer" || err != c.want {
			t.Errorf("%s: read %q, %v", name, got, err)
		}
		flow.Close()
	}
}
