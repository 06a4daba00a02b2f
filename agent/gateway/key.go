// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// keyField is where the Secret has the private key, in base64 as WireGuard writes keys.
const keyField = "privateKey"

// loadKey returns the gateway's private key, and the UID of the Secret that keeps it. At the first start the Secret
// is empty, and a new key is put in.
func loadKey(ctx context.Context, reader client.Reader, writer client.Writer, namespace string) (key [32]byte, uid types.UID, err error) {
	for {
		var secret corev1.Secret
		if err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: secretName}, &secret); err != nil {
			return key, "", fmt.Errorf("read the gateway's key: %w", err)
		}
		if text := secret.Data[keyField]; len(text) > 0 {
			raw, err := base64.StdEncoding.DecodeString(string(text))
			if err != nil || len(raw) != len(key) {
				return key, "", fmt.Errorf("secret %s does not hold a WireGuard key in %s: delete that field to get a new one", secretName, keyField)
			}
			return [32]byte(raw), secret.UID, nil
		}
		key = newPrivateKey()
		secret.Data = map[string][]byte{keyField: []byte(base64.StdEncoding.EncodeToString(key[:]))}
		err := writer.Update(ctx, &secret)
		if err == nil {
			return key, secret.UID, nil
		}
		if !apierrors.IsConflict(err) { // another replica was first: read what it wrote
			return key, "", fmt.Errorf("store the gateway's key: %w", err)
		}
	}
}

// newPrivateKey makes a Curve25519 private key, clamped as WireGuard's tools do.
func newPrivateKey() [32]byte {
	var key [32]byte
	rand.Read(key[:]) // never fails: crypto/rand ends the process rather than return an error
	key[0] &= 248
	key[31] = key[31]&127 | 64
	return key
}
