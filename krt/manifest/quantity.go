package manifest

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// quantityForm is that of a Kubernetes quantity that is not negative: a number, then a unit or a decimal exponent.
var quantityForm = regexp.MustCompile(`^\+?([0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:([numkMGTPE]|[KMGTPE]i)|[eE]([-+]?[0-9]{1,2}))?$`)

// parseQuantity is the exact value of a Kubernetes quantity.
func parseQuantity(text string) (*big.Rat, bool) {
	parts := quantityForm.FindStringSubmatch(text)
	if parts == nil {
		return nil, false
	}
	value, ok := new(big.Rat).SetString(strings.TrimSuffix(parts[1], "."))
	if !ok {
		return nil, false
	}
	exponent := 0
	switch unit := parts[2]; {
	case parts[3] != "":
		n, err := strconv.Atoi(parts[3])
		if err != nil {
			return nil, false
		}
		exponent = n
	case strings.HasSuffix(unit, "i"):
		shift := 10 * (1 + strings.Index("KMGTPE", unit[:1]))
		return value.Mul(value, new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), uint(shift)))), true
	case unit != "":
		exponent = map[string]int{"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}[unit]
	}
	power := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(abs(exponent))), nil))
	if exponent < 0 {
		return value.Quo(value, power), true
	}
	return value.Mul(value, power), true
}
