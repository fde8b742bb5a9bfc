-- ARGV: nonce
if not is_owned() or not held(record) then return {'fenced'} end
let_go(record)
return {'done'}
