// Elementary functions whose last bit is the same on every machine. The C library's choose their code by the processor,
// and two workers must draw the same crop from the same ticket.

/// Natural logarithm of a positive normal number; relative error of some 1e-16.
package func portableLog(_ x: Double) -> Double {
    precondition(x > 0 && x.isNormal)
    var exponent = x.exponent
    var fraction = x.significand
    if fraction > 1.4142135623730951 {
        fraction /= 2
        exponent += 1
    }
    // ln m = 2 artanh((m - 1) / (m + 1)), |s| < 0.172: twelve terms.
    let s = (fraction - 1) / (fraction + 1)
    let square = s * s
    var sum = 0.0
    for odd in stride(from: 23, through: 1, by: -2) { sum = sum * square + 1 / Double(odd) }
    return Double(exponent) * 0.6931471803691238 + (2 * s * sum + Double(exponent) * 1.9082149292705877e-10)
}

/// e to the `x`; 0 below -700, and `x` at most 700.
package func portableExp(_ x: Double) -> Double {
    precondition(x <= 700)
    if x < -700 { return 0 }
    let power = (x * 1.4426950408889634).rounded()
    let rest = (x - power * 0.6931471803691238) - power * 1.9082149292705877e-10
    // |rest| < 0.35: Taylor's series to the fourteenth power.
    var sum = 1.0
    for term in stride(from: 14, through: 1, by: -1) { sum = 1 + sum * rest / Double(term) }
    return Double(sign: .plus, exponent: Int(power), significand: sum)
}

/// Cosine and sine of an angle in degrees between -180 and 180, absolute error of some 1e-16.
package func portableCosineAndSine(degrees: Double) -> (cosine: Double, sine: Double) {
    precondition(abs(degrees) <= 180)
    let quarter = (degrees / 90).rounded()
    let angle = (degrees - quarter * 90) * (Double.pi / 180)
    let square = angle * angle
    var cosine = 1.0
    for term in stride(from: 18, through: 2, by: -2) { cosine = 1 - cosine * square / Double(term * (term - 1)) }
    var sine = 1.0
    for term in stride(from: 19, through: 3, by: -2) { sine = 1 - sine * square / Double(term * (term - 1)) }
    sine *= angle
    switch Int(quarter) & 3 {
    case 0: return (cosine, sine)
    case 1: return (-sine, cosine)
    case 2: return (-cosine, -sine)
    default: return (sine, -cosine)
    }
}
