// SPDX-License-Identifier: Apache-2.0

package carrier

// DNSOptionExact is the code of the EDNS option by which a laptop asks the gateway for a name as it is, in the cluster's DNS: one
// of a domain that its user has named, and not one to be completed as in a pod. It has no content. The code is one of those for
// local use (RFC 6891, section 9).
const DNSOptionExact = 65001
