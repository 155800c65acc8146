/** The version of product, catalogue and changelog; they move together. */
export const version = '5.0.0'
