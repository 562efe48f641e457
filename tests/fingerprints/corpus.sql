-- Statements as frameworks write them. A line is a statement; lines that follow each other without an empty one
-- between differ in their constants, comments, lists or white space alone and must have one fingerprint. Lines
-- that begin with two dashes are passed over.

-- Django (psycopg, constants in the text)
SELECT "polls_question"."id", "polls_question"."question_text", "polls_question"."pub_date" FROM "polls_question" WHERE "polls_question"."id" = 1 LIMIT 21
SELECT "polls_question"."id", "polls_question"."question_text", "polls_question"."pub_date" FROM "polls_question" WHERE "polls_question"."id" = 22 LIMIT 21
SELECT "polls_question"."id", "polls_question"."question_text", "polls_question"."pub_date" FROM "polls_question" WHERE "polls_question"."id" = -1 LIMIT 21
SELECT "polls_question"."id", "polls_question"."question_text", "polls_question"."pub_date" FROM "polls_question" WHERE "polls_question"."id" = 9000000000 LIMIT 21
SELECT "polls_question"."id", "polls_question"."question_text", "polls_question"."pub_date" FROM "polls_question" WHERE "polls_question"."id" = 1 LIMIT 21 /*controller='detail',framework='django%3A5.1',route='polls/%3Cint%3Aid%3E/'*/

SELECT "polls_question"."id", "polls_question"."pub_date" FROM "polls_question" WHERE "polls_question"."pub_date" <= '2024-05-01 10:00:00+00:00'::timestamptz ORDER BY "polls_question"."pub_date" DESC LIMIT 5
SELECT "polls_question"."id", "polls_question"."pub_date" FROM "polls_question" WHERE "polls_question"."pub_date" <= '2023-12-31 23:59:59.999+00:00'::timestamptz ORDER BY "polls_question"."pub_date" DESC LIMIT 5

SELECT COUNT(*) AS "__count" FROM "polls_question"

SELECT COUNT(*) AS "__count" FROM "polls_choice" WHERE "polls_choice"."votes" > 10
SELECT COUNT(*) AS "__count" FROM "polls_choice" WHERE "polls_choice"."votes" > 0

SELECT 1 AS "a" FROM "polls_choice" WHERE "polls_choice"."question_id" = 3 LIMIT 1
SELECT 1 AS "a" FROM "polls_choice" WHERE "polls_choice"."question_id" = 444 LIMIT 1

SELECT "polls_choice"."id", "polls_choice"."choice_text" FROM "polls_choice" WHERE "polls_choice"."question_id" IN (1, 2, 3)
SELECT "polls_choice"."id", "polls_choice"."choice_text" FROM "polls_choice" WHERE "polls_choice"."question_id" IN (7)
SELECT "polls_choice"."id", "polls_choice"."choice_text" FROM "polls_choice" WHERE "polls_choice"."question_id" IN (10, 20, 30, 40, 50, 60, 70, 80, 90, 100)

SELECT "auth_user"."id", "auth_user"."username" FROM "auth_user" INNER JOIN "polls_question" ON ("auth_user"."id" = "polls_question"."author_id") WHERE ("polls_question"."votes" >= 5 AND "auth_user"."is_active") ORDER BY "auth_user"."username" ASC
SELECT "auth_user"."id", "auth_user"."username" FROM "auth_user" INNER JOIN "polls_question" ON ("auth_user"."id" = "polls_question"."author_id") WHERE ("polls_question"."votes" >= 50 AND "auth_user"."is_active") ORDER BY "auth_user"."username" ASC

SELECT "auth_user"."id" FROM "auth_user" WHERE UPPER("auth_user"."username"::text) LIKE UPPER('%ada%')
SELECT "auth_user"."id" FROM "auth_user" WHERE UPPER("auth_user"."username"::text) LIKE UPPER('%O''Brien%')

SELECT "auth_user"."id" FROM "auth_user" WHERE NOT ("auth_user"."last_login" IS NULL)

SELECT "auth_user"."id" FROM "auth_user" WHERE "auth_user"."last_login" IS NULL

SELECT "django_session"."session_key", "django_session"."session_data" FROM "django_session" WHERE ("django_session"."expire_date" > '2024-05-01 10:00:00+00:00'::timestamptz AND "django_session"."session_key" = 'k3jh5kjh34') LIMIT 21
SELECT "django_session"."session_key", "django_session"."session_data" FROM "django_session" WHERE ("django_session"."expire_date" > '2024-05-02 11:30:00+00:00'::timestamptz AND "django_session"."session_key" = 'zz') LIMIT 21

UPDATE "polls_choice" SET "votes" = ("polls_choice"."votes" + 1) WHERE "polls_choice"."id" = 5
UPDATE "polls_choice" SET "votes" = ("polls_choice"."votes" + 2) WHERE "polls_choice"."id" = 50

UPDATE "auth_user" SET "last_login" = '2024-05-01 10:00:00+00:00'::timestamptz WHERE "auth_user"."id" = 1
UPDATE "auth_user" SET "last_login" = NULL::timestamptz WHERE "auth_user"."id" = 2

UPDATE "auth_user" SET "is_active" = true, "is_superuser" = false WHERE "auth_user"."id" = 1
UPDATE "auth_user" SET "is_active" = false, "is_superuser" = false WHERE "auth_user"."id" = 1
UPDATE "auth_user" SET "is_active" = TRUE, "is_superuser" = TRUE WHERE "auth_user"."id" = 17

INSERT INTO "polls_question" ("question_text", "pub_date", "votes") VALUES ('What''s up?', '2024-05-01 10:00:00+00:00'::timestamptz, 0) RETURNING "polls_question"."id"
INSERT INTO "polls_question" ("question_text", "pub_date", "votes") VALUES ('', '2020-01-01 00:00:00+00:00'::timestamptz, -3) RETURNING "polls_question"."id"

INSERT INTO "polls_choice" ("question_id", "choice_text", "votes") VALUES (1, 'Not much', 0), (1, 'The sky', 0) RETURNING "polls_choice"."id"
INSERT INTO "polls_choice" ("question_id", "choice_text", "votes") VALUES (1, 'Just hacking', 0) RETURNING "polls_choice"."id"
INSERT INTO "polls_choice" ("question_id", "choice_text", "votes") VALUES (2, 'a', 1), (2, 'b', 2), (2, 'c', 3), (2, NULL, 4) RETURNING "polls_choice"."id"

DELETE FROM "polls_choice" WHERE "polls_choice"."question_id" IN (1, 2)
DELETE FROM "polls_choice" WHERE "polls_choice"."question_id" IN (3)

DELETE FROM "django_session" WHERE "django_session"."session_key" IN ('abc')

SELECT "polls_question"."id", COUNT("polls_choice"."id") AS "n" FROM "polls_question" LEFT OUTER JOIN "polls_choice" ON ("polls_question"."id" = "polls_choice"."question_id") GROUP BY "polls_question"."id" HAVING COUNT("polls_choice"."id") > 2 ORDER BY "n" DESC LIMIT 10
SELECT "polls_question"."id", COUNT("polls_choice"."id") AS "n" FROM "polls_question" LEFT OUTER JOIN "polls_choice" ON ("polls_question"."id" = "polls_choice"."question_id") GROUP BY "polls_question"."id" HAVING COUNT("polls_choice"."id") > 20 ORDER BY "n" DESC LIMIT 100

SELECT CASE WHEN "polls_question"."votes" > 10 THEN 'hot' WHEN "polls_question"."votes" > 5 THEN 'warm' ELSE 'cold' END AS "heat" FROM "polls_question"
SELECT CASE WHEN "polls_question"."votes" > 100 THEN 'a' WHEN "polls_question"."votes" > -5 THEN 'b' ELSE 'c' END AS "heat" FROM "polls_question"

SELECT EXTRACT(YEAR FROM "polls_question"."pub_date" AT TIME ZONE 'UTC') AS "y" FROM "polls_question" WHERE "polls_question"."pub_date" BETWEEN '2024-01-01 00:00:00+00:00'::timestamptz AND '2024-12-31 23:59:59+00:00'::timestamptz
SELECT EXTRACT(YEAR FROM "polls_question"."pub_date" AT TIME ZONE 'Europe/Berlin') AS "y" FROM "polls_question" WHERE "polls_question"."pub_date" BETWEEN '2023-01-01 00:00:00+00:00'::timestamptz AND '2023-12-31 23:59:59+00:00'::timestamptz

SELECT "polls_question"."id" FROM "polls_question" WHERE EXISTS(SELECT 1 AS "a" FROM "polls_choice" U0 WHERE (U0."question_id" = ("polls_question"."id") AND U0."votes" > 3) LIMIT 1)
SELECT "polls_question"."id" FROM "polls_question" WHERE EXISTS(SELECT 1 AS "a" FROM "polls_choice" U0 WHERE (U0."question_id" = ("polls_question"."id") AND U0."votes" > 33) LIMIT 1)

SELECT "polls_question"."id" FROM "polls_question" ORDER BY "polls_question"."id" ASC LIMIT 10 OFFSET 20
SELECT "polls_question"."id" FROM "polls_question" ORDER BY "polls_question"."id" ASC LIMIT 10 OFFSET 2000

-- Rails ActiveRecord (prepared)
SELECT "users".* FROM "users" WHERE "users"."id" = $1 LIMIT $2
SELECT "users".* FROM "users" WHERE "users"."id" = $1 LIMIT $2 /*application='Blog',controller='users',action='show'*/
SELECT "users".* FROM "users" WHERE "users"."id" = $1 LIMIT $2 /*application:Blog,controller:users,action:edit*/
SELECT "users".* FROM "users" WHERE "users"."id" = 7 LIMIT 1

SELECT "users".* FROM "users" WHERE "users"."email" = $1 ORDER BY "users"."id" ASC LIMIT $2

SELECT "posts".* FROM "posts" WHERE "posts"."user_id" = $1
SELECT "posts".* FROM "posts" WHERE "posts"."user_id" = 1

SELECT "posts".* FROM "posts" WHERE "posts"."user_id" IN ($1, $2, $3)
SELECT "posts".* FROM "posts" WHERE "posts"."user_id" IN ($1, $2)
SELECT "posts".* FROM "posts" WHERE "posts"."user_id" IN (1, 2, 3, 4)

SELECT COUNT(*) FROM "comments" WHERE "comments"."post_id" = $1

SELECT "comments".* FROM "comments" WHERE "comments"."post_id" = $1 AND "comments"."spam" = $2
SELECT "comments".* FROM "comments" WHERE "comments"."post_id" = 3 AND "comments"."spam" = TRUE
SELECT "comments".* FROM "comments" WHERE "comments"."post_id" = 3 AND "comments"."spam" = FALSE

SELECT 1 AS one FROM "users" WHERE "users"."email" = $1 LIMIT $2
SELECT 1 AS one FROM "users" WHERE "users"."email" = 'a@b.c' LIMIT 1

SELECT 1 AS one FROM "users" WHERE "users"."email" = $1 AND "users"."id" != $2 LIMIT $3

INSERT INTO "users" ("name", "email", "created_at", "updated_at") VALUES ($1, $2, $3, $4) RETURNING "id"
INSERT INTO "users" ("name", "email", "created_at", "updated_at") VALUES ('Ada', NULL, '2024-05-01 10:00:00.123456', '2024-05-01 10:00:00.123456') RETURNING "id"

INSERT INTO "posts" ("title","user_id") VALUES ('a', 1), ('b', 2) ON CONFLICT DO NOTHING RETURNING "id"
INSERT INTO "posts" ("title","user_id") VALUES ('a', 1) ON CONFLICT DO NOTHING RETURNING "id"
INSERT INTO "posts" ("title","user_id") VALUES ('a', 1), ('b', 2), ('c', 3) ON CONFLICT DO NOTHING RETURNING "id"

UPDATE "users" SET "name" = $1, "updated_at" = $2 WHERE "users"."id" = $3

UPDATE "posts" SET "views" = COALESCE("posts"."views", 0) + $1 WHERE "posts"."id" = $2
UPDATE "posts" SET "views" = COALESCE("posts"."views", 0) + 1 WHERE "posts"."id" = 12

DELETE FROM "posts" WHERE "posts"."id" = $1

SELECT "posts".* FROM "posts" INNER JOIN "users" ON "users"."id" = "posts"."user_id" WHERE "users"."admin" = $1 ORDER BY "posts"."created_at" DESC LIMIT $2 OFFSET $3

SELECT "users"."name" FROM "users" WHERE "users"."deleted_at" IS NULL AND (created_at > '2024-01-01') ORDER BY name LIMIT 1000
SELECT "users"."name" FROM "users" WHERE "users"."deleted_at" IS NULL AND (created_at > '2020-02-29') ORDER BY name LIMIT 1000

SELECT DISTINCT "posts"."user_id" FROM "posts" WHERE "posts"."published" = $1 AND "posts"."views" BETWEEN $2 AND $3

SELECT SUM("posts"."views") FROM "posts" WHERE "posts"."user_id" = $1

SELECT "posts".* FROM "posts" WHERE (tags @> ARRAY['ruby','rails'])
SELECT "posts".* FROM "posts" WHERE (tags @> ARRAY['sql'])

SELECT "posts".* FROM "posts" WHERE (meta->>'lang' = 'en') AND (meta ? 'draft')
SELECT "posts".* FROM "posts" WHERE (meta->>'lang' = 'de') AND (meta ? 'final')

SELECT "users".* FROM "users" WHERE (balance < -100.5)
SELECT "users".* FROM "users" WHERE (balance < 7.25)

-- SQLAlchemy (psycopg and asyncpg)
SELECT user_account.id, user_account.name, user_account.fullname \nFROM user_account \nWHERE user_account.name = $1::VARCHAR
SELECT user_account.id, user_account.name, user_account.fullname \nFROM user_account \nWHERE user_account.name = 'spongebob'::VARCHAR

SELECT user_account.id, user_account.name \nFROM user_account \nWHERE user_account.id IN ($1::INTEGER, $2::INTEGER, $3::INTEGER)
SELECT user_account.id, user_account.name \nFROM user_account \nWHERE user_account.id IN ($1::INTEGER)
SELECT user_account.id, user_account.name \nFROM user_account \nWHERE user_account.id IN (1::INTEGER, 2::INTEGER)

SELECT user_account.id, user_account.name \nFROM user_account \nWHERE user_account.name IN ('a', 'b')
SELECT user_account.id, user_account.name \nFROM user_account \nWHERE user_account.name IN ('a', 'b', 'c')
SELECT user_account.id, user_account.name \nFROM user_account \nWHERE user_account.name IN (NULL)

SELECT user_account.id, user_account.name \nFROM user_account \nWHERE user_account.id IN (NULL) AND (1 != 1)

SELECT address.id, address.email_address \nFROM address JOIN user_account ON user_account.id = address.user_id \nWHERE user_account.name = 'sandy' AND address.email_address = 'sandy@sqlalchemy.org'
SELECT address.id, address.email_address \nFROM address JOIN user_account ON user_account.id = address.user_id \nWHERE user_account.name = 'x' AND address.email_address = 'y'

INSERT INTO user_account (name, fullname) VALUES ($1::VARCHAR, $2::VARCHAR) RETURNING user_account.id
INSERT INTO user_account (name, fullname) VALUES ('sandy'::VARCHAR, 'Sandy Cheeks'::VARCHAR) RETURNING user_account.id

INSERT INTO user_account (name, fullname) SELECT p0::VARCHAR, p1::VARCHAR FROM (VALUES ($1::VARCHAR, $2::VARCHAR, 0), ($3::VARCHAR, $4::VARCHAR, 1)) AS imp_sen(p0, p1, sen_counter) ORDER BY sen_counter RETURNING user_account.id, user_account.id AS id__1
INSERT INTO user_account (name, fullname) SELECT p0::VARCHAR, p1::VARCHAR FROM (VALUES ($1::VARCHAR, $2::VARCHAR, 0), ($3::VARCHAR, $4::VARCHAR, 1), ($5::VARCHAR, $6::VARCHAR, 2)) AS imp_sen(p0, p1, sen_counter) ORDER BY sen_counter RETURNING user_account.id, user_account.id AS id__1

UPDATE user_account SET fullname='Patrick' WHERE user_account.id = 1
UPDATE user_account SET fullname='Squidward Tentacles' WHERE user_account.id = 22

UPDATE user_account SET fullname=(user_account.name || ' the ' || user_account.fullname) WHERE user_account.score > 0.5
UPDATE user_account SET fullname=(user_account.name || ' von ' || user_account.fullname) WHERE user_account.score > 99.5

DELETE FROM user_account WHERE user_account.id = 4
DELETE FROM user_account WHERE user_account.id = 5

SELECT count(*) AS count_1 \nFROM (SELECT user_account.id AS id \nFROM user_account \nWHERE user_account.score >= 1.5) AS anon_1
SELECT count(*) AS count_1 \nFROM (SELECT user_account.id AS id \nFROM user_account \nWHERE user_account.score >= 100.25) AS anon_1

SELECT user_account.id, (SELECT count(address.id) AS count_1 \nFROM address \nWHERE user_account.id = address.user_id) AS n \nFROM user_account ORDER BY user_account.id \n LIMIT 10 OFFSET 0
SELECT user_account.id, (SELECT count(address.id) AS count_1 \nFROM address \nWHERE user_account.id = address.user_id) AS n \nFROM user_account ORDER BY user_account.id \n LIMIT 10 OFFSET 50

SELECT user_account.id \nFROM user_account \nWHERE lower(user_account.name) LIKE '%' || lower('S') || '%' ESCAPE '/'
SELECT user_account.id \nFROM user_account \nWHERE lower(user_account.name) LIKE '%' || lower('P%') || '%' ESCAPE '/'

SELECT user_account.id \nFROM user_account \nWHERE user_account.ref = '3f06af63-a93c-11e4-9797-00505690773f'::UUID
SELECT user_account.id \nFROM user_account \nWHERE user_account.ref = 'c0ffee00-a93c-11e4-9797-00505690773f'::UUID

SELECT address.id FROM address WHERE (address.id, address.user_id) IN ((1, 2), (3, 4))
SELECT address.id FROM address WHERE (address.id, address.user_id) IN ((1, 2))
SELECT address.id FROM address WHERE (address.id, address.user_id) IN (($1, $2), ($3, $4), ($5, $6))

WITH RECURSIVE parts(n) AS (SELECT 1 AS n UNION ALL SELECT parts.n + 1 AS anon_2 FROM parts WHERE parts.n < 10) SELECT parts.n FROM parts
WITH RECURSIVE parts(n) AS (SELECT 5 AS n UNION ALL SELECT parts.n + 2 AS anon_2 FROM parts WHERE parts.n < 100) SELECT parts.n FROM parts

-- Prisma
SELECT "public"."User"."id", "public"."User"."email", "public"."User"."name" FROM "public"."User" WHERE ("public"."User"."email" = $1 AND 1=1) LIMIT $2 OFFSET $3
SELECT "public"."User"."id", "public"."User"."email", "public"."User"."name" FROM "public"."User" WHERE ("public"."User"."email" = $1 AND 1=1) LIMIT $2 OFFSET $3 /* traceparent=00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01 */

SELECT "public"."User"."id" FROM "public"."User" WHERE 1=1 ORDER BY "public"."User"."id" ASC LIMIT $1 OFFSET $2

SELECT "public"."Post"."id", "public"."Post"."title" FROM "public"."Post" WHERE "public"."Post"."authorId" IN ($1,$2,$3) OFFSET $4
SELECT "public"."Post"."id", "public"."Post"."title" FROM "public"."Post" WHERE "public"."Post"."authorId" IN ($1,$2) OFFSET $3
SELECT "public"."Post"."id", "public"."Post"."title" FROM "public"."Post" WHERE "public"."Post"."authorId" IN ($1) OFFSET $2

INSERT INTO "public"."User" ("email","name","role") VALUES ($1,$2,$3) RETURNING "public"."User"."id"

INSERT INTO "public"."Post" ("title","published","authorId") VALUES ($1,$2,$3), ($4,$5,$6)
INSERT INTO "public"."Post" ("title","published","authorId") VALUES ($1,$2,$3)
INSERT INTO "public"."Post" ("title","published","authorId") VALUES ($1,$2,$3), ($4,$5,$6), ($7,$8,$9)

INSERT INTO "public"."Post" ("id","title","published") VALUES (DEFAULT,$1,$2), (DEFAULT,$3,$4)
INSERT INTO "public"."Post" ("id","title","published") VALUES (DEFAULT,$1,$2)

UPDATE "public"."User" SET "name" = $1 WHERE ("public"."User"."id" = $2 AND 1=1) RETURNING "public"."User"."id", "public"."User"."email"

UPDATE "public"."Post" SET "viewCount" = ("public"."Post"."viewCount" + $1) WHERE ("public"."Post"."id" IN ($2) AND 1=1)
UPDATE "public"."Post" SET "viewCount" = ("public"."Post"."viewCount" + $1) WHERE ("public"."Post"."id" IN ($2,$3) AND 1=1)

DELETE FROM "public"."Post" WHERE ("public"."Post"."published" = $1 AND 1=1)

SELECT COUNT(*) FROM (SELECT "public"."User"."id" FROM "public"."User" WHERE 1=1 OFFSET $1) AS "sub"

SELECT "t1"."id", "t1"."title" FROM "public"."Post" AS "t1" WHERE ("t1"."title"::text LIKE $1 OR "t1"."meta"#>ARRAY['lang']::text[] = '"en"'::jsonb)
SELECT "t1"."id", "t1"."title" FROM "public"."Post" AS "t1" WHERE ("t1"."title"::text LIKE $1 OR "t1"."meta"#>ARRAY['region']::text[] = '"eu"'::jsonb)

-- Hibernate and JDBC
select c1_0.id,c1_0.active,c1_0.first_name,c1_0.last_name,c1_0.version from customer c1_0 where c1_0.id=$1
select c1_0.id,c1_0.active,c1_0.first_name,c1_0.last_name,c1_0.version from customer c1_0 where c1_0.id=1
/* select c from Customer c where c.id = :id */ select c1_0.id,c1_0.active,c1_0.first_name,c1_0.last_name,c1_0.version from customer c1_0 where c1_0.id=$1

select p1_0.customer_id,p1_0.id,p1_0.placed,p1_0.status,p1_0.total from purchase p1_0 where p1_0.customer_id=$1

select p1_0.id,p1_0.status from purchase p1_0 where p1_0.customer_id in ($1,$2,$3,$4)
select p1_0.id,p1_0.status from purchase p1_0 where p1_0.customer_id in ($1,$2,$3,$4,$5,$6,$7,$8)

select p1_0.id,p1_0.total from purchase p1_0 where p1_0.customer_id = any ($1)
select p1_0.id,p1_0.total from purchase p1_0 where p1_0.customer_id = any ('{1,2}')

select c1_0.id from customer c1_0 where lower(c1_0.last_name) like lower($1) escape '\' order by c1_0.last_name offset $2 rows fetch first $3 rows only
select c1_0.id from customer c1_0 where lower(c1_0.last_name) like lower('sm%') escape '\' order by c1_0.last_name offset 0 rows fetch first 10 rows only

select count(c1_0.id) from customer c1_0 where c1_0.active=true
select count(c1_0.id) from customer c1_0 where c1_0.active=false

select c1_0.id,p1_0.total from customer c1_0 left join purchase p1_0 on c1_0.id=p1_0.customer_id where p1_0.total>cast(10.5 as numeric(38,2)) and c1_0.birthday<date '2000-01-01'
select c1_0.id,p1_0.total from customer c1_0 left join purchase p1_0 on c1_0.id=p1_0.customer_id where p1_0.total>cast(99.9 as numeric(38,2)) and c1_0.birthday<date '1980-12-31'

insert into customer (active,first_name,last_name,version,id) values ($1,$2,$3,$4,$5)
insert into customer (active,first_name,last_name,version,id) values (true,'Ada','Lovelace',0,1)

insert into purchase (customer_id,status,total) values ($1,$2,$3),($4,$5,$6)
insert into purchase (customer_id,status,total) values ($1,$2,$3)

update customer set first_name=$1,last_name=$2,version=$3 where id=$4 and version=$5
update customer set first_name='A',last_name='B',version=1 where id=1 and version=0

delete from customer where id=$1 and version=$2

select nextval('authors_id_seq')

select p1_0.status,sum(p1_0.total) from purchase p1_0 where p1_0.placed>=timestamp '2024-01-01 00:00:00' group by p1_0.status having sum(p1_0.total)>100
select p1_0.status,sum(p1_0.total) from purchase p1_0 where p1_0.placed>=timestamp '2025-06-01 12:00:00' group by p1_0.status having sum(p1_0.total)>500

select c1_0.id from customer c1_0 where c1_0.active is true

select c1_0.id from customer c1_0 where c1_0.active is false

select c1_0.id from customer c1_0 where c1_0.active is not true

-- sqlc and pgx
SELECT id, name, bio FROM authors\nWHERE id = $1 LIMIT 1
-- name: GetAuthor :one\nSELECT id, name, bio FROM authors\nWHERE id = $1 LIMIT 1

SELECT id, name, bio FROM authors\nORDER BY name

INSERT INTO authors (\n  name, bio\n) VALUES (\n  $1, $2\n)\nRETURNING id, name, bio

UPDATE authors\n  set name = $2,\n  bio = $3\nWHERE id = $1

DELETE FROM authors\nWHERE id = $1

SELECT book_id, title FROM books WHERE author_id = ANY($1::bigint[])

SELECT book_id, title FROM books WHERE tags && $1::varchar[]

SELECT b.title, a.name FROM books b LEFT JOIN authors a ON a.id = b.author_id WHERE b.year > $1 AND b.available > now() - interval '1 day'
SELECT b.title, a.name FROM books b LEFT JOIN authors a ON a.id = b.author_id WHERE b.year > $1 AND b.available > now() - interval '30 days'

SELECT book_id FROM books WHERE title = 'Dune' AND year = 1965
SELECT book_id FROM books WHERE title = E'It\'s' AND year = 2001
SELECT book_id FROM books WHERE title = $$Dune$$ AND year = 1965
SELECT book_id FROM books WHERE title = U&'d\0061t\+000061' AND year = 1965
SELECT  book_id\n  FROM books -- all of them\n WHERE title = 'x' /* why not */ AND year = 1;

SELECT coalesce(bio, '-'), birth_year - 1 FROM authors WHERE birth_year -1 > 1900
SELECT coalesce(bio, '+'), birth_year - 2 FROM authors WHERE birth_year -7 > 1800

SELECT birth_year, -birth_year, - 1, 2 - -1 FROM authors
SELECT birth_year, -birth_year, 1, 2 - 1 FROM authors

SELECT * FROM books WHERE (year, book_id) > ($1, $2) ORDER BY year, book_id LIMIT $3
SELECT * FROM books WHERE (year, book_id) > (1965, 10) ORDER BY year, book_id LIMIT 50

-- TypeORM and Sequelize
SELECT "Photo"."id" AS "Photo_id", "Photo"."name" AS "Photo_name", "Photo"."isPublished" AS "Photo_isPublished" FROM "photo" "Photo" WHERE (("Photo"."id" = $1)) LIMIT 1
SELECT "Photo"."id" AS "Photo_id", "Photo"."name" AS "Photo_name", "Photo"."isPublished" AS "Photo_isPublished" FROM "photo" "Photo" WHERE (("Photo"."id" = 5)) LIMIT 1

SELECT DISTINCT "distinctAlias"."Photo_id" AS "ids_Photo_id" FROM (SELECT "Photo"."id" AS "Photo_id" FROM "photo" "Photo" WHERE "Photo"."views" > $1) "distinctAlias" ORDER BY "Photo_id" ASC LIMIT 10

INSERT INTO "photo"("name", "description", "filename", "views", "isPublished") VALUES ($1, $2, $3, DEFAULT, $4) RETURNING "id"
INSERT INTO "photo"("name", "description", "filename", "views", "isPublished") VALUES ($1, $2, $3, DEFAULT, $4), ($5, $6, $7, DEFAULT, $8) RETURNING "id"

UPDATE "photo" SET "views" = views + 1 WHERE "id" IN ($1)
UPDATE "photo" SET "views" = views + 1 WHERE "id" IN ($1, $2)

UPDATE "photo" SET "name"=$1,"description"=$2 WHERE "id" = $3

DELETE FROM "photo" WHERE "id" = $1

SELECT "id", "name" FROM "photo" AS "Photo" WHERE "Photo"."name" ILIKE '%bear%' AND "Photo"."albumId" IS NOT NULL ORDER BY "Photo"."views" DESC NULLS LAST LIMIT 20
SELECT "id", "name" FROM "photo" AS "Photo" WHERE "Photo"."name" ILIKE '%fox%' AND "Photo"."albumId" IS NOT NULL ORDER BY "Photo"."views" DESC NULLS LAST LIMIT 20

SELECT count(*) AS "count" FROM "photo" AS "Photo" WHERE "Photo"."views" NOT IN (1, 2, 3)
SELECT count(*) AS "count" FROM "photo" AS "Photo" WHERE "Photo"."views" NOT IN (1)

SELECT "id" FROM "photo" AS "Photo" WHERE ("Photo"."views" >= 10 AND "Photo"."views" < 20) OR "Photo"."isPublished" = true
SELECT "id" FROM "photo" AS "Photo" WHERE ("Photo"."views" >= 1000 AND "Photo"."views" < 2000) OR "Photo"."isPublished" = false

-- Ecto
SELECT t0."id", t0."text", t0."likes" FROM "tweets" AS t0 WHERE (t0."id" = $1)

SELECT t0."id", t0."text" FROM "tweets" AS t0 WHERE (t0."author_id" = ANY($1)) ORDER BY t0."author_id"

SELECT t0."id", a1."handle" FROM "tweets" AS t0 INNER JOIN "accounts" AS a1 ON a1."id" = t0."author_id" WHERE (t0."likes" > 100) ORDER BY t0."inserted_at" DESC LIMIT 10
SELECT t0."id", a1."handle" FROM "tweets" AS t0 INNER JOIN "accounts" AS a1 ON a1."id" = t0."author_id" WHERE (t0."likes" > 5) ORDER BY t0."inserted_at" DESC LIMIT 10

INSERT INTO "tweets" ("likes","text","inserted_at","updated_at") VALUES ($1,$2,$3,$4) RETURNING "id"

INSERT INTO "tweets" ("text","likes") VALUES ($1,$2),($3,$4),($5,$6)
INSERT INTO "tweets" ("text","likes") VALUES ($1,$2)

UPDATE "tweets" AS t0 SET "likes" = t0."likes" + 1 WHERE (t0."id" = $1)
UPDATE "tweets" AS t0 SET "likes" = t0."likes" + 2 WHERE (t0."id" = $1)

DELETE FROM "tweets" AS t0 WHERE (t0."inserted_at" < $1::timestamp)

SELECT count(t0."id") FROM "tweets" AS t0 WHERE (t0."text" ILIKE $1)

SELECT TRUE FROM "accounts" AS a0 WHERE (a0."handle" = $1) LIMIT 1
SELECT FALSE FROM "accounts" AS a0 WHERE (a0."handle" = 'x') LIMIT 1

SELECT t0."id" FROM "tweets" AS t0 WHERE ((t0."meta"#>'{"a","b"}') = '"x"')
SELECT t0."id" FROM "tweets" AS t0 WHERE ((t0."meta"#>'{"c"}') = '7')

-- GORM and sqlx
SELECT * FROM "products" WHERE code = $1 AND "products"."deleted_at" IS NULL ORDER BY "products"."id" LIMIT $2
SELECT * FROM "products" WHERE code = 'D42' AND "products"."deleted_at" IS NULL ORDER BY "products"."id" LIMIT 1

INSERT INTO "products" ("created_at","updated_at","deleted_at","code","price") VALUES ('2024-05-01 10:00:00.1','2024-05-01 10:00:00.1',NULL,'D42',100) RETURNING "id"
INSERT INTO "products" ("created_at","updated_at","deleted_at","code","price") VALUES ('2024-05-01 10:00:00.1','2024-05-01 10:00:00.1',NULL,'D42',100),('2024-05-01 10:00:00.1','2024-05-01 10:00:00.1',NULL,'D43',200) RETURNING "id"
INSERT INTO "products" ("created_at","updated_at","deleted_at","code","price") VALUES ($1,$2,$3,$4,$5) RETURNING "id"

UPDATE "products" SET "price"=200,"updated_at"='2024-05-01 10:00:00.1' WHERE "products"."deleted_at" IS NULL AND "id" = 1
UPDATE "products" SET "price"=-200,"updated_at"='2024-05-01 11:11:11' WHERE "products"."deleted_at" IS NULL AND "id" = 2

UPDATE "products" SET "deleted_at"='2024-05-01 10:00:00.1' WHERE "products"."id" = 1 AND "products"."deleted_at" IS NULL

SELECT p.id, row_number() OVER (PARTITION BY p.code ORDER BY p.price DESC) AS rank FROM products p WHERE p.price BETWEEN 10 AND 20
SELECT p.id, row_number() OVER (PARTITION BY p.code ORDER BY p.price DESC) AS rank FROM products p WHERE p.price BETWEEN 100 AND 200

INSERT INTO products (id, code, price) SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])

SELECT id FROM products WHERE price = 1 FOR UPDATE SKIP LOCKED LIMIT 5
SELECT id FROM products WHERE price = 2 FOR UPDATE SKIP LOCKED LIMIT 50

SELECT code FROM products WHERE price > 5 UNION ALL SELECT code FROM products WHERE price < 1 ORDER BY 1
SELECT code FROM products WHERE price > 6 UNION ALL SELECT code FROM products WHERE price < 2 ORDER BY 1

-- pgbench and by hand
SELECT abalance FROM pgbench_accounts WHERE aid = 12345
SELECT abalance FROM pgbench_accounts WHERE aid = $1
select abalance from pgbench_accounts where aid = 1;

UPDATE pgbench_accounts SET abalance = abalance + -1205 WHERE aid = 77
UPDATE pgbench_accounts SET abalance = abalance + 4999 WHERE aid = 78

INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, 12345, -4, CURRENT_TIMESTAMP)
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (10, 1, 54321, 4, CURRENT_TIMESTAMP)

INSERT INTO metrics (at, host, value) VALUES (now(), 'a', 1.5), (now(), 'b', 2.5)
INSERT INTO metrics (at, host, value) VALUES (now(), 'a', -1.5)

INSERT INTO metrics (at, host, value) VALUES ('2024-05-01 10:00+00', 'a', 1.5e3), ('2024-05-01 10:00+00', 'b', 2.5e-3)
INSERT INTO metrics (at, host, value) VALUES ('2024-05-01 10:00+00', 'c', 0.5)

SELECT host, avg(value) FROM metrics WHERE at >= now() - interval '5 minutes' AND labels @> '{"dc": "a"}' GROUP BY host ORDER BY 2 DESC
SELECT host, avg(value) FROM metrics WHERE at >= now() - interval '1 hour' AND labels @> '{"dc": "b"}' GROUP BY host ORDER BY 2 DESC

SELECT host FROM metrics WHERE addr << '10.0.0.0/8' AND span && '[2024-01-01,2024-02-01)'::tstzrange
SELECT host FROM metrics WHERE addr << '192.168.0.0/16' AND span && '[2025-01-01,2025-02-01)'::tstzrange

SELECT host FROM metrics WHERE value = ANY(ARRAY[1.5, 2.5]) AND host <> ALL(ARRAY['x', 'y', 'z'])
SELECT host FROM metrics WHERE value = ANY(ARRAY[1.5]) AND host <> ALL(ARRAY['x'])

SELECT 1

SELECT now()

SELECT version()

SELECT host FROM metrics WHERE host ~ '^web-[0-9]+$' AND NOT true
SELECT host FROM metrics WHERE host ~ '^db' AND NOT false

SELECT substring(host from 1 for 3), host::varchar(10), B'101', 0.5::numeric(4, 2) FROM metrics
SELECT substring(host from 2 for 5), host::varchar(10), B'000', 7.5::numeric(4, 2) FROM metrics

-- Statements that pg_stat_statements does not look into before version 17
BEGIN

COMMIT

SET search_path TO tenant_1, public
SET search_path = 'tenant_2', public
set search_path = "Tenant 3"

SET LOCAL app.tenant_id = 'acme'
SET LOCAL app.tenant_id TO 42

SET statement_timeout TO DEFAULT

SAVEPOINT "s139905_x1"
SAVEPOINT active_record_1
savepoint sa_savepoint_2

RELEASE SAVEPOINT "s139905_x1"
RELEASE SAVEPOINT sp2

ROLLBACK TO SAVEPOINT active_record_1
ROLLBACK TO SAVEPOINT sa_savepoint_3

ROLLBACK

DECLARE "_django_curs_140_sync_1" NO SCROLL CURSOR WITH HOLD FOR SELECT id FROM users WHERE id > 5
DECLARE "_django_curs_150_sync_7" NO SCROLL CURSOR WITH HOLD FOR SELECT id FROM users WHERE id > 8

FETCH FORWARD 2000 FROM "_django_curs_140_sync_1"
FETCH FORWARD 100 FROM c7

CLOSE "_django_curs_140_sync_1"
CLOSE c7

CLOSE ALL

DEALLOCATE pdo_stmt_00000003
DEALLOCATE "_pg3_12"

DEALLOCATE ALL

PREPARE get AS SELECT 1

EXECUTE get(1, 'x')
EXECUTE get(2)

NOTIFY jobs, 'payload 1'
NOTIFY jobs, 'payload 2'

LISTEN jobs
