// SPDX-License-Identifier: Apache-2.0

package traffic

import "time"

// Where a request went.
const (
	WentToLaptop  = "laptop"  // the local program answered
	WentToCluster = "cluster" // it was meant for the laptop, and the app in the cluster took it
	WentToBoth    = "both"    // a copy for the laptop; the app answered
)

// Protocols of a Record.
const (
	HTTP      = "HTTP" // of a version that is not known
	HTTP1     = "HTTP/1.1"
	HTTP2     = "HTTP/2"
	GRPC      = "gRPC"
	WebSocket = "WebSocket"
	TCP       = "TCP"
	UDP       = "UDP"
)

// Record is one request that was meant for this laptop, or one connection where requests are not told apart. It is plain
// data, without headers and bodies: what people sent is theirs. It may be replaced by a later one of the same number, when
// it has ended.
type Record struct {
	Number    uint64    `json:"number"`    // grows with time, from 1, within one life of the daemon
	Intercept string    `json:"intercept"` // ID of the Intercept
	Time      time.Time `json:"time"`
	Protocol  string    `json:"protocol"` // HTTP/1.1, HTTP/2, gRPC, WebSocket, TCP or UDP; HTTP where the version is not known
	Method    string    `json:"method,omitempty"`
	Path      string    `json:"path,omitempty"` // without the query; shortened
	Host      string    `json:"host,omitempty"`
	Status    int       `json:"status,omitempty"`     // of HTTP; 0 while there is no answer
	GRPC      string    `json:"grpcStatus,omitempty"` // such as OK or NOT_FOUND
	Millis    float64   `json:"ms,omitempty"`         // from its arrival to the end of the answer, in milliseconds
	Open      bool      `json:"open,omitempty"`       // it has not ended yet
	Went      string    `json:"went"`                 // laptop, cluster or both
	Why       string    `json:"why,omitempty"`        // why it did not go to the laptop, or how it broke off
	Client    string    `json:"client,omitempty"`     // address of the caller in the cluster
	Received  uint64    `json:"received"`             // bytes to the laptop
	Sent      uint64    `json:"sent"`                 // bytes from the laptop
}
