#!/bin/sh
# Make the secrets of a deployment, once: `infra/compose/secrets.sh FILE`. A FILE that exists is left as it is.
#   docker compose --env-file FILE …    kubectl create secret generic flow-secrets --from-env-file=FILE
set -eu
file=${1:?name the file that is to hold the secrets, outside of the checkout}
if [ -e "$file" ]; then
    echo "$file exists and is left as it is" >&2
    exit 0
fi
umask 077
random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }
token=$(random 32)
access=$(random 10)
secret=$(random 20)
cat > "$file" <<END
POSTGRES_PASSWORD=$(random 24)
MLFLOW_AUTH_ADMIN_USERNAME=admin
MLFLOW_AUTH_ADMIN_PASSWORD=$(random 24)
MLFLOW_FLASK_SERVER_SECRET_KEY=$(random 32)
AWS_ACCESS_KEY_ID=$access
AWS_SECRET_ACCESS_KEY=$secret
GF_SECURITY_ADMIN_PASSWORD=$(random 16)
RAY_AUTH_TOKEN=$token
auth_token=$token
END
echo "made $file" >&2
